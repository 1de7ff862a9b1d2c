"""Sessions use a WAMP router through the bridge; the router is a double."""

from __future__ import annotations

import json

import pytest
from autobahn.exception import PayloadExceededError
from autobahn.wamp.exception import ApplicationError, TransportLost
from autobahn.wamp.types import CallResult
from fakes import CLOSE, RecordingTransport, join
from twisted.internet.defer import Deferred
from wamp_fakes import FakeRouter, said

from twisted_engineio import CloseReason
from twisted_engineio.wamp import WampApplication
from twisted_engineio.wamp.bridge import make_id

ADD = {"op": "call", "id": 1, "uri": "com.example.add", "args": [2, 3]}
CHAT = "com.example.chat"
SUBSCRIBE = {"op": "subscribe", "id": 7, "uri": CHAT}


class Guarded(WampApplication):
    """A bridge whose hook answers what the test says."""

    max_calls = 2
    max_subscriptions = 2

    def __init__(self):
        names = iter("abcdefgh")
        super().__init__(make_id=lambda: next(names))
        self.verdict = lambda session, action, uri: True

    def authorize(self, session, action, uri):
        return self.verdict(session, action, uri)


@pytest.fixture
def bridge():
    """Give a bridge that is not joined to a router."""
    return Guarded()


@pytest.fixture
def router(bridge):
    """Give the router that the bridge is joined to, its procedures registered."""
    router = FakeRouter()
    bridge.joined(router)
    for _ in range(3):
        router.take("register").yes()
    return router


@pytest.fixture
def visit(make_server, bridge, open_session):
    """Open sessions of the bridge's."""
    server = make_server(bridge)
    return lambda: open_session(server)


@pytest.fixture
def ada(visit):
    """Give an open session; its name is "a"."""
    return visit()


def ask(session, request):
    """Let a session ask."""
    session.receive(json.dumps(request))


def answers(session):
    """Read what a session was sent since the last time."""
    return said(session.transport.written)


def error_of(session):
    """Read the one answer, an error: its name, and what it says."""
    [answer] = answers(session)
    assert answer["op"] == "error"
    return answer["error"], answer.get("args")


# Names.


def test_a_session_is_told_its_name(make_server, bridge):
    """It is the first message; and not the session's id, which is a secret."""
    server = make_server(bridge)
    transport = RecordingTransport()
    join(server, transport)
    _, welcome = transport.written
    assert json.loads(welcome.data) == {"op": "welcome", "session": "a"}


def test_names_are_not_given_twice():
    """They are random: those of a bridge that was restarted do not come again."""
    names = {make_id() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == 16 for name in names)


# Calls.


def test_a_call_is_answered_with_its_result(router, ada):
    """By the id that the client gave it."""
    ask(ada, {**ADD, "kwargs": {"carry": True}})
    asked = router.take("call")
    assert (asked.uri, asked.args) == ("com.example.add", (2, 3))
    assert asked.kwargs == {"carry": True}
    assert answers(ada) == []
    asked.yes(5)
    assert answers(ada) == [{"op": "result", "id": 1, "args": [5]}]


def test_a_result_of_many_parts_keeps_them(router, ada):
    """Positional and by keyword, as WAMP has them."""
    ask(ada, ADD)
    router.take("call").yes(CallResult(1, 2, total=3))
    result = {"op": "result", "id": 1, "args": [1, 2], "kwargs": {"total": 3}}
    assert answers(ada) == [result]


def test_calls_are_answered_as_they_come(router, ada):
    """Not in the order in which they were asked."""
    ask(ada, {**ADD, "id": 1})
    ask(ada, {**ADD, "id": 2})
    first, second = router.asked
    second.yes("b")
    first.yes("a")
    assert [each["id"] for each in answers(ada)] == [2, 1]


def test_an_error_of_the_procedure_s_is_passed_on(router, ada):
    """Its name and its arguments."""
    ask(ada, ADD)
    router.take("call").no("com.example.error.tired", "not now", until=5)
    assert answers(ada) == [
        {
            "op": "error",
            "id": 1,
            "error": "com.example.error.tired",
            "args": ["not now"],
            "kwargs": {"until": 5},
        }
    ]


def test_a_result_that_json_cannot_carry_is_an_error(router, ada):
    """The client is told, and goes on."""
    ask(ada, ADD)
    router.take("call").yes(object())
    name, [what] = error_of(ada)
    assert name == "engineio.error.not_json"
    assert what == "the answer cannot be sent: JSON cannot represent object"


def nested(depth):
    """Make a list of one list of one list..."""
    made = []
    for _ in range(depth):
        made = [made]
    return made


def test_a_result_too_deep_for_json_is_an_error_each_time(router, ada):
    """It takes no place of those that may wait."""
    for _ in range(3):  # one more than may wait
        ask(ada, ADD)
        router.take("call").yes(nested(100_000))
        name, [what] = error_of(ada)
        assert name == "engineio.error.not_json"
        assert what == "the answer cannot be sent: it is nested too deeply"


class Strange(dict):
    """What a serializer of the router's might make, and nobody can read."""

    def items(self):
        raise LookupError("no items")


def test_an_answer_that_fails_on_its_way_makes_room_for_others(router, ada, logged):
    """Whatever it fails of; the log tells."""
    for _ in range(3):  # one more than may wait
        ask(ada, ADD)
        router.take("call").yes(Strange(a=1))
        logged.take(LookupError)
    ask(ada, ADD)
    router.take("call").yes(5)
    assert [each["args"] for each in answers(ada)] == [[5]]


def test_a_request_too_large_for_the_router_is_an_error(router, ada):
    """The router's limit may be below max_payload."""
    ask(ada, ADD)
    router.take("call").answer.errback(PayloadExceededError("too large"))
    assert error_of(ada)[0] == "engineio.error.too_large"


def test_whatever_else_goes_wrong_is_logged(router, ada, logged):
    """The client is told no more than that."""
    ask(ada, ADD)
    router.take("call").answer.errback(ZeroDivisionError("a secret"))
    assert error_of(ada) == ("engineio.error.failed", ["the request failed"])
    logged.take(ZeroDivisionError)


def test_calls_that_pile_up_are_not_read(router, ada):
    """The third waits outside, and so does what is behind it; in order."""
    for id in range(1, 5):
        ask(ada, {**ADD, "id": id})
    first, second = router.asked
    router.asked.clear()
    assert ada.busy
    second.yes()
    third = router.take("call")
    assert router.asked == []
    third.yes()
    router.take("call").yes()
    first.yes()
    assert not ada.busy
    assert [each["id"] for each in answers(ada)] == [2, 3, 4, 1]


def test_calls_end_with_their_session(router, ada, bridge, clock):
    """Those under way are cancelled, those that wait are never made."""
    for id in range(1, 4):
        ask(ada, {**ADD, "id": id})
    first, second = router.asked
    router.asked.clear()
    ada.abort()
    clock.advance(0)
    assert first.cancelled
    assert second.cancelled
    assert router.asked == []


# Publications.


def test_a_publication_reaches_the_bridge_s_other_sessions_too(router, ada):
    """One session of the router's publishes for all, and must not be left out."""
    ask(ada, {"op": "publish", "id": 1, "uri": CHAT, "args": ["hi"]})
    asked = router.take("publish")
    assert (asked.uri, asked.args) == (CHAT, ("hi",))
    assert asked.options.exclude_me is False
    asked.yes("a publication")
    assert answers(ada) == [{"op": "published", "id": 1}]


def test_without_an_id_a_publication_is_not_answered(router, ada):
    """Nor does the router acknowledge it."""
    ask(ada, {"op": "publish", "uri": CHAT})
    assert router.take("publish").options.acknowledge is False
    assert answers(ada) == []


# Subscriptions.


def test_an_event_comes_to_who_subscribed(router, ada):
    """And a session subscribes but once."""
    ask(ada, SUBSCRIBE)
    asked = router.take("subscribe")
    asked.yes()
    assert answers(ada) == [{"op": "subscribed", "id": 7}]
    asked.handler("hi", who="bob")
    event = {"op": "event", "uri": CHAT, "args": ["hi"], "kwargs": {"who": "bob"}}
    assert answers(ada) == [event]
    ask(ada, SUBSCRIBE)
    assert error_of(ada)[0] == "engineio.error.already_subscribed"


def test_a_session_may_end_its_subscription(router, ada):
    """Nobody is asked whether it may."""
    ask(ada, SUBSCRIBE)
    router.take("subscribe").yes()
    answers(ada)
    ask(ada, {"op": "unsubscribe", "id": 8, "uri": CHAT})
    assert answers(ada) == [{"op": "unsubscribed", "id": 8}]
    router.take("unsubscribe").yes()
    ask(ada, {"op": "unsubscribe", "id": 9, "uri": CHAT})
    assert error_of(ada)[0] == "wamp.error.no_such_subscription"


def test_a_session_has_so_many_subscriptions(router, ada):
    """One more is refused, also while the router has not answered."""
    for topic in ("one", "two", "three"):
        ask(ada, {**SUBSCRIBE, "uri": topic})
    assert error_of(ada)[0] == "engineio.error.too_many_subscriptions"
    assert [each.uri for each in router.asked] == ["one", "two"]


def test_a_subscription_that_the_router_refuses_is_none(router, ada):
    """The session is told by its id, and may try again."""
    ask(ada, SUBSCRIBE)
    router.take("subscribe").no("wamp.error.not_authorized", "no")
    [answer] = answers(ada)
    assert (answer["id"], answer["error"]) == (7, "wamp.error.not_authorized")
    assert answer["uri"] == CHAT
    ask(ada, SUBSCRIBE)
    router.take("subscribe").answer.errback(TransportLost())
    assert error_of(ada) == (
        "engineio.error.failed",
        ["the router did not subscribe"],
    )


def test_subscriptions_end_with_the_last_session(router, visit, clock):
    """However it ends; the router is not asked before."""
    ada, bob = visit(), visit()
    for session in (ada, bob):
        ask(session, SUBSCRIBE)
    router.take("subscribe").yes()
    ada.receive_packet(CLOSE)
    assert router.asked == []
    bob.abort()
    clock.advance(0)
    assert router.take("unsubscribe").uri == CHAT


def test_a_volatile_subscription_skips_what_cannot_go_now(router, visit):
    """Another waits in the session's queue, up to its limits."""
    ada, bob = visit(), visit()
    ask(ada, {**SUBSCRIBE, "volatile": True})
    ask(bob, SUBSCRIBE)
    asked = router.take("subscribe")
    asked.yes()
    for session in (ada, bob):
        answers(session)
        session.transport.writable = False
    asked.handler("hi")
    assert ada.buffered == 0
    assert bob.buffered > 0
    for session in (ada, bob):
        session.transport.ready()
    assert answers(ada) == []
    assert [each["args"] for each in answers(bob)] == [["hi"]]


def test_a_slow_session_ends_and_the_others_hear_on(make_server, open_session, clock):
    """Above max_buffered, as for whatever else is sent."""
    bridge, router = Guarded(), FakeRouter()
    server = make_server(bridge, max_buffered=100, low_water_mark=1, high_water_mark=1)
    bridge.prefix = None
    bridge.joined(router)
    slow, quick = open_session(server), open_session(server)
    for session in (slow, quick):
        ask(session, SUBSCRIBE)
    asked = router.take("subscribe")
    asked.yes()
    slow.transport.writable = False
    for _ in range(3):
        asked.handler("x" * 50)
    clock.advance(0)
    assert slow.reason is CloseReason.SLOW_CLIENT
    assert [each["op"] for each in answers(quick)] == ["subscribed"] + ["event"] * 3


# Who may.


@pytest.mark.parametrize("verdict", [False, None, 0, "yes", []])
def test_only_a_yes_is_a_yes(bridge, router, ada, verdict):
    """A hook that forgets to answer lets nobody in."""
    bridge.verdict = lambda session, action, uri: verdict
    for request in (ADD, SUBSCRIBE, {"op": "publish", "uri": CHAT}):
        ask(ada, request)
        name, [what] = error_of(ada)
        assert name == "wamp.error.not_authorized"
        assert what == f"this session is not authorized to {request['op']} here"
    assert router.asked == []


def test_the_hook_is_told_who_and_what(bridge, router, ada):
    """The session, the action and the URI; unsubscribing is everybody's right."""
    told = []
    bridge.verdict = lambda *args: told.append(args)
    ask(ada, ADD)
    ask(ada, SUBSCRIBE)
    ask(ada, {"op": "publish", "uri": CHAT})
    ask(ada, {"op": "unsubscribe", "id": 1, "uri": CHAT})
    assert told == [
        (ada, "call", "com.example.add"),
        (ada, "subscribe", CHAT),
        (ada, "publish", CHAT),
    ]


def test_the_hook_may_say_who_it_is(bridge, router, ada):
    """Its keyword arguments win over the client's."""
    bridge.verdict = lambda session, action, uri: {"who": "ada"}
    ask(ada, {**ADD, "kwargs": {"who": "bob", "why": 1}})
    assert router.take("call").kwargs == {"who": "ada", "why": 1}
    ask(ada, {"op": "publish", "uri": CHAT})
    assert router.take("publish").kwargs == {"who": "ada"}
    ask(ada, SUBSCRIBE)
    router.take("subscribe").yes()


def test_the_hook_may_take_its_time(bridge, router, ada):
    """What the session says next waits, so that order is kept."""
    waits = Deferred()

    async def verdict(session, action, uri):
        return await waits

    bridge.verdict = verdict
    ask(ada, ADD)
    bridge.verdict = lambda session, action, uri: True
    ask(ada, {"op": "publish", "uri": CHAT})
    assert router.asked == []
    waits.callback(True)
    assert [each.kind for each in router.asked] == ["call", "publish"]


def test_a_hook_that_answers_late_answers_nobody(bridge, router, ada, clock):
    """The session has left, and asks for nothing any more."""
    waits = Deferred()
    bridge.verdict = lambda session, action, uri: waits
    ask(ada, SUBSCRIBE)
    ada.abort()
    clock.advance(0)
    waits.callback(True)
    assert router.asked == []


def test_a_hook_that_raises_ends_its_session(bridge, router, ada, logged):
    """As whatever an application raises."""
    bridge.verdict = lambda session, action, uri: 1 / 0
    ask(ada, ADD)
    assert ada.reason is CloseReason.APPLICATION_ERROR
    logged.take(ZeroDivisionError)


@pytest.mark.parametrize(
    ("prefix", "uri", "may"),
    [
        ("engineio", "com.example.add", True),
        ("engineio", "wamp.session.list", False),
        ("engineio", "crossbar.get_status", False),
        ("engineio", "engineio.send", False),
        ("engineio", "engineioish", True),
        ("rooms", "rooms.send", False),
        (None, "engineio.send", True),
        (None, "wamp.session.list", False),
    ],
)
def test_by_default_all_but_the_router_s_and_the_bridge_s_own_is_allowed(
    ada, prefix, uri, may
):
    """A client must not send to other sessions, nor kill the bridge's."""
    bridge = WampApplication()
    bridge.prefix = prefix
    assert bridge.authorize(ada, "call", uri) is may


def test_a_bad_request_is_answered_and_the_session_goes_on(router, ada):
    """With what was wrong, by its id if it has one."""
    ada.receive(b"\x00")
    assert error_of(ada)[0] == "engineio.error.bad_request"
    ask(ada, {"op": "call", "id": 5})
    [answer] = answers(ada)
    assert answer["id"] == 5
    assert "uri must be" in answer["args"][0]
    ask(ada, ADD)
    router.take("call").yes()


# The router comes and goes.


def test_without_a_router_a_call_fails_at_once(ada):
    """With an error that says so."""
    ask(ada, ADD)
    assert error_of(ada) == (
        "engineio.error.no_router",
        ["no router is connected; try again later"],
    )


def test_a_router_that_leaves_fails_what_is_under_way(bridge, router, ada):
    """The client is told that it cannot know whether it was done."""
    ask(ada, ADD)
    ask(ada, {"op": "publish", "id": 2, "uri": CHAT})
    bridge.left()
    router.leave()
    for answer in answers(ada):
        assert answer["error"] == "engineio.error.no_router"
        assert "the request may have been completed" in answer["args"][0]


def test_a_router_that_comes_again_is_subscribed_to_again(bridge, router, ada):
    """The sessions notice nothing, and hear on."""
    ask(ada, SUBSCRIBE)
    router.take("subscribe").yes()
    answers(ada)
    bridge.left()
    second = FakeRouter()
    bridge.joined(second)
    for _ in range(3):
        second.take("register").yes()
    asked = second.take("subscribe")
    asked.yes()
    assert answers(ada) == []
    asked.handler("again")
    assert [each["args"] for each in answers(ada)] == [["again"]]


def test_a_subscription_that_a_new_router_refuses_is_told_of(bridge, router, ada):
    """Without an id, for that was answered; with its topic."""
    ask(ada, SUBSCRIBE)
    router.take("subscribe").yes()
    answers(ada)
    bridge.left()
    second = FakeRouter()
    bridge.prefix = None
    bridge.joined(second)
    second.take("subscribe").no("wamp.error.not_authorized")
    [answer] = answers(ada)
    assert answer == {
        "op": "error",
        "uri": CHAT,
        "error": "wamp.error.not_authorized",
    }


def test_a_procedure_that_cannot_be_registered_is_logged(bridge, logged):
    """It says which, and what to do; a router that has left is no such case."""
    router = FakeRouter()
    bridge.joined(router)
    first, second, third = router.asked
    first.no("wamp.error.procedure_already_exists")
    event = logged.take()
    assert event["uri"] == "engineio.send"
    assert "procedure_already_exists" in event["error"]
    second.yes()
    bridge.left()
    third.no("wamp.close.transport_lost")


def test_a_bridge_may_register_nothing(bridge):
    """With no prefix."""
    bridge.prefix = None
    router = FakeRouter()
    bridge.joined(router)
    assert router.asked == []


# Components send to sessions.


@pytest.fixture
def procedures(bridge):
    """Give what the bridge has registered, by its name."""
    router = FakeRouter()
    bridge.joined(router)
    return {each.uri: each.handler for each in router.asked}


def test_a_component_sends_to_one_session(procedures, visit):
    """By its name; what it sends stands in a message of its own kind."""
    ada, bob = visit(), visit()
    assert procedures["engineio.send"]("b", "psst", loud=False) is True
    assert answers(ada) == []
    message = {"op": "message", "args": ["psst"], "kwargs": {"loud": False}}
    assert answers(bob) == [message]


def test_a_component_is_told_of_a_slow_session(procedures, ada):
    """As an application is: above the high-water mark."""
    ada.transport.writable = False
    assert procedures["engineio.send"]("a", "x" * 100_000) is False


@pytest.mark.parametrize("over", ["never there", "closing", "closed"])
def test_a_session_that_is_not_there_cannot_be_sent_to(procedures, ada, clock, over):
    """The component is told so by name."""
    if over == "closing":
        ada.close()
    elif over == "closed":
        ada.abort()
        clock.advance(0)
    with pytest.raises(ApplicationError) as caught:
        procedures["engineio.send"]("z" if over == "never there" else "a", "hi")
    assert caught.value.error == "engineio.error.no_such_session"


def test_a_component_sends_to_all(procedures, visit):
    """And is told how many there are; one that is closing hears nothing."""
    ada, bob = visit(), visit()
    bob.close()
    assert procedures["engineio.broadcast"]("all", self=1) == 2
    message = {"op": "message", "args": ["all"], "kwargs": {"self": 1}}
    assert answers(ada) == [message]
    assert answers(bob) == []


def test_what_json_cannot_carry_is_the_component_s_error(procedures, ada):
    """Nothing is sent."""
    with pytest.raises(ApplicationError) as caught:
        procedures["engineio.broadcast"](object())
    assert caught.value.error == "engineio.error.not_json"
    assert answers(ada) == []


def test_a_component_may_list_the_sessions(procedures, bridge, ada):
    """With what the bridge's owner wants to tell; never with their ids."""
    [listed] = procedures["engineio.sessions"]()
    assert listed == {"session": "a", "transport": "polling", "address": None}
    bridge.describe = lambda session: {"who": "ada"}
    assert procedures["engineio.sessions"]() == [{"session": "a", "who": "ada"}]
    assert ada.sid not in str(listed)


def test_a_session_that_a_subclass_never_opened_is_none(make_server, open_session):
    """It raised before the bridge came to it: nothing is left."""

    class Broken(WampApplication):
        def session_opened(self, session):
            session.abort()

    server = make_server(Broken())
    session = open_session(server)
    server.clock.advance(0)
    assert session.reason is CloseReason.FORCED_CLOSE
