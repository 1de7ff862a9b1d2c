"""Topics: what is wished outlives the router, and the router follows."""

from __future__ import annotations

import json

import pytest
from autobahn.wamp.exception import ApplicationError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from wamp_fakes import FakeRouter

from twisted_engineio.wamp.subscriptions import Subscriptions

TICK = "com.example.tick"


class Ear:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def granted(self) -> None:
        self.told.append("granted")

    def refused(self, failure) -> None:
        self.told.append(failure.check(ApplicationError))

    def event_received(self, event) -> None:
        self.told.append(json.loads(event.data))


@pytest.fixture
def topics():
    """Give topics that nobody listens to."""
    return Subscriptions()


@pytest.fixture
def router(topics):
    """Give a router that the topics are joined to."""
    router = FakeRouter()
    topics.joined(router)
    return router


@pytest.fixture
def ear():
    """Give a listener."""
    return Ear()


def test_the_first_listener_makes_the_router_s_subscription(topics, router, ear):
    """It is told when the router says so; the second one at once."""
    topics.add(TICK, ear)
    asked = router.take("subscribe")
    assert (asked.uri, ear.told) == (TICK, [])
    asked.yes()
    assert ear.told == ["granted"]
    second = Ear()
    topics.add(TICK, second)
    assert second.told == ["granted"]
    assert router.asked == []


def test_an_event_reaches_all_in_the_order_they_came(topics, router):
    """It is written once; the same object goes to all."""
    heard = []
    for name in "abc":
        ear = Ear()
        ear.event_received = lambda event, name=name: heard.append((name, event))
        topics.add(TICK, ear)
    asked = router.take("subscribe")
    asked.yes()
    asked.handler(1, topic="as a keyword")
    assert [name for name, _ in heard] == ["a", "b", "c"]
    assert len({id(event) for _, event in heard}) == 1
    assert json.loads(heard[0][1].data) == {
        "op": "event",
        "uri": TICK,
        "args": [1],
        "kwargs": {"topic": "as a keyword"},
    }


def test_an_event_that_json_cannot_carry_is_dropped_and_logged(
    topics, router, ear, logged
):
    """Nobody else is at fault."""
    topics.add(TICK, ear)
    asked = router.take("subscribe")
    asked.yes()
    asked.handler(object())
    assert ear.told == ["granted"]
    assert "JSON cannot represent object" in str(logged.take()["error"])


def test_the_last_to_leave_ends_the_router_s_subscription(topics, router, ear):
    """And not sooner."""
    second = Ear()
    topics.add(TICK, ear)
    topics.add(TICK, second)
    router.take("subscribe").yes()
    topics.remove(TICK, ear)
    assert router.asked == []
    topics.remove(TICK, second)
    router.take("unsubscribe").yes()
    assert len(topics) == 0


def test_who_leaves_before_the_answer_is_followed_by_the_router(topics, router, ear):
    """The subscription is ended as soon as it is there."""
    topics.add(TICK, ear)
    topics.remove(TICK, ear)
    router.take("subscribe").yes()
    assert ear.told == []
    router.take("unsubscribe").yes()
    assert len(topics) == 0


def test_who_comes_while_it_is_ended_makes_it_anew(topics, router, ear):
    """When the end is answered."""
    topics.add(TICK, ear)
    router.take("subscribe").yes()
    topics.remove(TICK, ear)
    ended = router.take("unsubscribe")
    topics.add(TICK, ear)
    assert router.asked == []
    ended.yes()
    router.take("subscribe").yes()
    assert ear.told == ["granted", "granted"]


def test_a_refusal_is_told_to_all_and_forgotten(topics, router, ear):
    """A later listener asks again."""
    second = Ear()
    topics.add(TICK, ear)
    topics.add(TICK, second)
    router.take("subscribe").no()
    assert ear.told == second.told == [ApplicationError]
    assert len(topics) == 0
    topics.add(TICK, ear)
    assert router.take("subscribe")


def test_a_router_that_does_not_end_it_is_told_of_and_forgotten(
    topics, router, ear, logged
):
    """It is logged: somebody must look."""
    topics.add(TICK, ear)
    router.take("subscribe").yes()
    topics.remove(TICK, ear)
    router.take("unsubscribe").no()
    logged.take(ApplicationError)
    assert len(topics) == 0


def test_without_a_router_a_wish_waits(topics, ear):
    """For the first that comes."""
    topics.add(TICK, ear)
    router = FakeRouter()
    topics.joined(router)
    router.take("subscribe").yes()
    assert ear.told == ["granted"]


def test_a_wish_can_be_taken_back_without_a_router(topics, ear):
    """Then nothing is asked of the next."""
    topics.add(TICK, ear)
    topics.remove(TICK, ear)
    assert len(topics) == 0


def test_a_new_router_is_asked_again(topics, router, ear):
    """Whatever the old one still says counts for nothing."""
    other = Ear()
    topics.add(TICK, ear)
    topics.add("com.example.other", other)
    held, late = router.asked
    held.yes()
    topics.left()
    second = FakeRouter()
    topics.joined(second)
    late.yes()
    assert other.told == []
    assert [each.uri for each in second.asked] == [TICK, "com.example.other"]
    second.take("subscribe").yes()
    second.take("subscribe").no()
    assert ear.told == ["granted", "granted"]
    assert other.told == [ApplicationError]


def test_a_lost_connection_is_no_refusal(topics, router, ear):
    """The requests that fail with it are made again."""
    topics.add(TICK, ear)
    topics.left()
    router.leave()
    assert ear.told == []
    second = FakeRouter()
    topics.joined(second)
    second.take("subscribe").yes()
    topics.remove(TICK, ear)
    topics.left()
    second.leave()
    assert len(topics) == 0


class Interleaved(RuleBasedStateMachine):
    """Listeners, answers and routers come and go in any order."""

    uris = st.sampled_from(["a", "b"])

    def __init__(self) -> None:
        super().__init__()
        self.topics = Subscriptions()
        self.router: FakeRouter | None = None
        self.held: set[str] = set()
        self.under_way: list = []
        self.ears: dict[tuple[str, int], Ear] = {}

    @rule(uri=uris, who=st.integers(0, 1))
    def add(self, uri, who):
        if (uri, who) not in self.ears:
            self.ears[uri, who] = Ear()
            self.topics.add(uri, self.ears[uri, who])
            self.collect()

    @rule(uri=uris, who=st.integers(0, 1))
    def remove(self, uri, who):
        ear = self.ears.pop((uri, who), None)
        if ear is not None:
            self.topics.remove(uri, ear)
            self.collect()

    @precondition(lambda self: self.router is None)
    @rule()
    def join(self):
        self.router = FakeRouter()
        self.topics.joined(self.router)
        self.collect()

    @precondition(lambda self: self.router is not None)
    @rule()
    def leave(self):
        self.router = None
        self.held.clear()
        self.topics.left()
        asked, self.under_way = self.under_way, []
        for each in asked:
            each.no()

    @precondition(lambda self: self.under_way)
    @rule(at=st.integers(0, 9), grants=st.booleans())
    def answer(self, at, grants):
        asked = self.under_way.pop(at % len(self.under_way))
        if asked.kind == "unsubscribe":
            self.held.discard(asked.uri)
            asked.yes()
        elif grants:
            self.held.add(asked.uri)
            asked.yes()
        else:
            keys = [key for key in self.ears if key[0] == asked.uri]
            refused = [self.ears.pop(key) for key in keys]
            asked.no()
            assert all(ear.told[-1] is ApplicationError for ear in refused)
        self.collect()

    def collect(self):
        if self.router is not None:
            self.under_way += self.router.asked
            self.router.asked.clear()

    @invariant()
    def one_request_for_a_topic_at_a_time(self):
        uris = [each.uri for each in self.under_way]
        assert len(uris) == len(set(uris))

    @invariant()
    def at_rest_the_router_knows_what_is_wished(self):
        if self.router is not None and not self.under_way:
            assert self.held == {uri for uri, _ in self.ears} == {*self.topics._topics}
            assert all(ear.told[-1] == "granted" for ear in self.ears.values())

    @invariant()
    def without_a_router_only_wishes_are_kept(self):
        if self.router is None:
            assert {uri for uri, _ in self.ears} == {*self.topics._topics}


TestInterleaved = Interleaved.TestCase
TestInterleaved.settings = settings(deadline=None, stateful_step_count=30)
