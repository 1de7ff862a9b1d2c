"""The soak's verdict can fail: whatever it promises to find, it is given here."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from soak.client import Session
from soak.figures import Sample, growth, process
from soak.plan import ENDINGS, Ending, chance_of, draw
from soak.verdict import Evidence, faults, judge
from soak.words import Bodies, Heard, Mark, Spoilt, Stream, Word, make, read


def client(**changed):
    """A ledger of a session that went well, as its client kept it."""
    return {
        "who": "1",
        "revision": 4,
        "way": ["polling", "websocket"],
        "planned": ["polling", "websocket"],
        "faltered": 0,
        "ending": "bye",
        "opened": True,
        "trouble": None,
        "sent": 10,
        "down": [[0, 20]],
        "cast": [[3, 5]],
        "spoilt": [],
    } | changed


def server(**changed):
    """The same session's ledger, as the server kept it."""
    return {
        "who": "1",
        "reason": "transport close",
        "transport": "websocket",
        "sent": 20,
        "casts": [3, 5, 5],
        "up": [[0, 10]],
        "spoilt": [],
    } | changed


STEADY = [
    Sample(
        at=float(second),
        rss=100 << 20,
        cpu=second / 4,
        descriptors=8000,
        sessions=5000,
        delayed=12_000,
        sent=1000 * second,
        received=500 * second,
    )
    for second in range(1, 101)
]


def evidence(**changed):
    """All that a run without a fault writes down."""
    good = Evidence(
        clients=[client()],
        server=[server()],
        samples=STEADY,
        fresh=(13, 3),
        after=(13, 3),
        objects_before={"all": 60_000},
        objects_after={"all": 60_100},
        log="2026-11-25 [-] EngineIOSite starting on 3000\n",
        exit_status=0,
    )
    return replace(good, **changed)


def the_one(found):
    """The only thing that is wrong."""
    [line] = found
    return line


def test_a_good_run_passes():
    """Nothing is wrong where nothing is."""
    assert judge(evidence()) == []


# Messages.


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        ({"down": [[0, 7], [8, 20]]}, {}, "down, on websocket: number 7 was sent"),
        ({"down": [[0, 19]]}, {}, "number 19 was sent and not heard: lost"),
        ({"down": []}, {"sent": 1}, "number 0 was sent and not heard: lost"),
        ({}, {"up": [[0, 4], [5, 10]]}, "up, on websocket: number 4 was sent"),
        ({"cast": [[4, 5]]}, {}, "broadcast, on websocket: number 3 was sent"),
    ],
)
def test_a_lost_message_is_found(mine, theirs, said):
    """Whichever stream it is missing from, its number and transport are told."""
    line = the_one(judge(evidence(clients=[client(**mine)], server=[server(**theirs)])))
    assert line.startswith("session 1 (polling to websocket, revision 4, bye): ")
    assert said in line


def test_a_doubled_message_is_found():
    """One that comes at once again, and one that comes again later."""
    at_once = judge(evidence(clients=[client(down=[[0, 8], [7, 20]])]))
    assert any("number 7 was heard 2 times: doubled" in line for line in at_once)
    later = judge(evidence(clients=[client(down=[[0, 20], [3, 4]])]))
    assert any("number 3 was heard 2 times: doubled" in line for line in later)


def test_a_reordered_message_is_found():
    """Two that come the wrong way round, though both come."""
    runs = [[0, 5], [6, 7], [5, 6], [7, 20]]
    line = the_one(judge(evidence(clients=[client(down=runs)])))
    assert "number 5 came behind 6: reordered" in line


def test_a_message_that_nobody_sent_is_found():
    """A number above what was sent."""
    line = the_one(judge(evidence(clients=[client(down=[[0, 21]])])))
    assert "number 20 was heard and never sent" in line


def test_a_spoilt_message_is_found():
    """One whose checksum is wrong, on either side."""
    line = the_one(judge(evidence(clients=[client(spoilt=["bad checksum"])])))
    assert "the client heard bad checksum" in line
    line = the_one(judge(evidence(server=[server(spoilt=["bad checksum"])])))
    assert "the server heard bad checksum" in line


def test_a_client_that_died_must_have_heard_a_beginning():
    """It may miss the end, and nothing before it."""
    died = {"ending": "reset", "down": [[0, 12]], "cast": []}
    theirs = server(up=[[0, 3]], reason="transport error")
    assert judge(evidence(clients=[client(**died)], server=[theirs])) == []
    died["down"] = [[0, 4], [5, 12]]
    line = the_one(judge(evidence(clients=[client(**died)], server=[theirs])))
    assert "number 4 was sent and not heard: lost" in line


def test_the_server_s_last_words_count():
    """A session that the server closes may lose what it says, not what it is told."""
    stopped = client(ending="drained")
    theirs = server(reason="server close", up=[[0, 2]])
    assert judge(evidence(clients=[stopped], server=[theirs])) == []
    stopped["down"] = [[0, 19]]
    line = the_one(judge(evidence(clients=[stopped], server=[theirs])))
    assert "number 19 was sent and not heard: lost" in line


@given(
    first=st.integers(0, 5),
    length=st.integers(1, 12),
    certain=st.integers(0, 12),
    data=st.data(),
)
def test_only_what_is_in_order_passes(first, length, certain, data):
    """Whatever order numbers are heard in: it passes if it is a beginning, else not."""
    stop = first + length
    certain = min(first + certain, stop)
    numbers = data.draw(
        st.one_of(
            st.lists(st.integers(first - 1, stop + 1), max_size=length + 2),
            st.integers(first, stop).map(lambda end: list(range(first, end))),
        )
    )
    heard = Heard()
    for number in numbers:
        heard.add(number)
    good = numbers == list(range(first, first + len(numbers)))
    good = good and certain <= first + len(numbers) <= stop
    assert (list(faults(heard.runs, first, certain, stop)) == []) is good


# Sessions.


@pytest.mark.parametrize(
    ("mine", "theirs", "said"),
    [
        ([client(trouble="lost")], [server()], "lost"),
        ([client()], [], "the server has never said goodbye to it"),
        ([client()], [server(), server()], "the server ended it 2 times"),
        ([], [server()], "the server had it, and no client did"),
        ([client()], [server(reason="ping timeout")], "ended it for 'ping timeout'"),
    ],
)
def test_a_session_that_went_wrong_is_found(mine, theirs, said):
    """Each way in which a session can end otherwise than was planned."""
    assert said in the_one(judge(evidence(clients=mine, server=theirs)))


def test_a_client_that_died_before_it_was_in_is_nobody_s_fault():
    """No session was opened, so the server knows nothing of it."""
    unborn = client(ending="half", opened=False, sent=0, down=[], cast=[])
    assert judge(evidence(clients=[unborn], server=[])) == []


def test_a_move_that_was_not_finished_is_told():
    """A failure says where the session was going."""
    moving = client(way=["polling"], trouble="lost")
    assert "polling (on its way to websocket)" in the_one(
        judge(evidence(clients=[moving]))
    )


# Figures.


def leak(name, per_second):
    """The samples of a server that leaks something."""
    return [
        replace(each, **{name: getattr(each, name) + int(per_second * each.at)})
        for each in STEADY
    ]


def test_a_leak_is_found():
    """Memory that grows by more than a session's worth in twenty."""
    assert judge(evidence(samples=leak("rss", 50_000))) == []  # 2.4 MiB in all
    line = the_one(judge(evidence(samples=leak("rss", 200_000))))
    assert line.startswith("memory grew by 9,")


def test_a_long_run_is_judged_by_more():
    """When the allocators have settled, half as much is a leak."""
    slowly = [replace(each, at=4 * each.at) for each in leak("rss", 120_000)]
    assert "memory grew by 5," in the_one(judge(evidence(samples=slowly)))


def test_memory_that_wavers_is_no_leak():
    """What comes and goes is not taken for growth."""
    chance = random.Random(7)
    wavering = [
        replace(each, rss=each.rss + chance.randrange(8 << 20)) for each in STEADY
    ]
    assert judge(evidence(samples=wavering)) == []


def test_timers_that_pile_up_are_found():
    """A delayed call that nobody cancels."""
    line = the_one(judge(evidence(samples=leak("delayed", 40))))
    assert line.startswith("delayed calls grew by ")


def test_timers_of_a_long_run_are_judged_by_more():
    """When no connection outlasts its session any more, half as many are a leak."""
    slowly = [replace(each, at=4 * each.at) for each in leak("delayed", 20)]
    assert judge(evidence(samples=leak("delayed", 20))) == []
    line = the_one(judge(evidence(samples=slowly)))
    assert line.startswith("delayed calls grew by ")


def test_too_few_samples_are_no_proof():
    """A run that was too short to show a leak does not pass."""
    assert "too few" in the_one(judge(evidence(samples=STEADY[:4])))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"left": 1}, "1 sessions are left"),
        ({"after": (14, 3)}, "14 file descriptors after all, and 13 before"),
        ({"after": (13, 4)}, "4 delayed calls after all, and 3 before"),
        ({"exit_status": None}, "the server exited with status None"),
        ({"exit_status": 1}, "the server exited with status 1"),
        ({"mishaps": ["no connection"]}, "no connection"),
        (
            {"objects_after": {"all": 70_000}},
            "10000 more objects of kind all than before",
        ),
        (
            {
                "objects_after": {
                    "all": 60_000,
                    "twisted_engineio.session.session.Session": 1,
                }
            },
            "1 more objects of kind twisted_engineio.session.session.Session than"
            " before",
        ),
        ({"log": "x\nTraceback (most recent call last):\n"}, "the server's log says"),
        ({"log": "[-] Unhandled Error\n"}, "the server's log says"),
        ({"log": "[twisted#critical] no\n"}, "the server's log says"),
    ],
)
def test_what_is_left_behind_is_found(changed, said):
    """Each thing that must be as it was before."""
    assert said in the_one(judge(evidence(**changed)))


def test_growth_is_that_of_a_line():
    """The fit of a straight line is the line."""
    assert growth([(x, 3 * x + 1) for x in range(10)]) == pytest.approx(27)


def test_a_process_is_measured():
    """Our own memory, time and descriptors are there and above zero."""
    import os

    rss, cpu, descriptors = process(os.getpid())
    assert rss > 1 << 20
    assert cpu > 0
    assert descriptors > 2


# Words.


@pytest.mark.parametrize("body", ["", "text é 😀:\n", b"", b"\x00\xff:!"])
@pytest.mark.parametrize("mark", Mark)
def test_a_message_is_read_as_it_was_made(body, mark):
    """Text stays text, binary stays binary, and all of it is checked."""
    data = make("7", Stream.UP, 12, body, mark)
    assert type(data) is type(body)
    assert read("7", data) == Word(Stream.UP, mark, 12)


def test_a_broadcast_is_everybody_s():
    """Whoever reads it."""
    data = make("all", Stream.CAST, 3, "news")
    assert read("7", data) == Word(Stream.CAST, Mark.PLAIN, 3)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data.replace(b"12:", b"13:"),
        lambda data: data.replace(b"d.", b"d!"),
        lambda data: data.replace(b"body", b"bodY"),
        lambda data: b"",
        lambda data: b"x",
        lambda data: b"q.1:00000000:",
        lambda data: b"d.x:00000000:",
    ],
)
def test_a_message_that_was_changed_is_spoilt(change):
    """Cut, glued, renumbered, or otherwise not what was sent."""
    good = make("7", Stream.DOWN, 12, b"a body")
    assert change(good) != good
    with pytest.raises(Spoilt):
        read("7", change(good))


def test_a_message_of_another_session_is_spoilt():
    """The checksum knows whose it is."""
    with pytest.raises(Spoilt):
        read("8", make("7", Stream.DOWN, 12, "for 7"))


def test_bodies_are_of_all_kinds():
    """Text and binary, empty and large; none that a JSONP client could not say."""
    bodies, chance = Bodies(random.Random(1)), random.Random(2)
    drawn = [bodies.draw(chance) for _ in range(3000)]
    assert {type(each) for each in drawn} == {str, bytes}
    assert min(map(len, drawn)) == 0
    assert max(map(len, drawn)) > 10_000
    assert not any("\\\n" in each for each in drawn if isinstance(each, str))


def test_plans_repeat():
    """The same seed and number give the same life; all endings occur."""

    def plan(number):
        chance = chance_of(5, str(number))
        return draw(chance, str(number), 60.0, 5.0, ENDINGS)

    plans = [plan(number) for number in range(500)]
    assert plans == [plan(number) for number in range(500)]
    assert {each.ending for each in plans} == set(ENDINGS)
    assert set(Ending) - set(ENDINGS) == {Ending.DRAINED}


def test_who_dies_in_the_middle_of_a_word_hears_no_answer(monkeypatch):
    """A POST that was on its way may come behind that, to a session that is over."""
    clock, ledgers = Clock(), []
    plan = replace(
        draw(random.Random(1), "me", 5.0, 1.0, ENDINGS),
        way=("polling",),
        revision=4,
        ending=Ending.HALF,
    )
    bodies = Bodies(random.Random(1))
    client = Session(clock, 80, plan, 1, bodies, lambda _, each: ledgers.append(each))
    client._opened({"sid": "s", "pingInterval": 25_000, "pingTimeout": 20_000})
    monkeypatch.setattr(client._carrier, "write_half", lambda: None)
    client._die()
    client.lost(client._carrier, "POST: 400 Session ID unknown")
    assert not ledgers
    clock.advance(2)
    assert [each["trouble"] for each in ledgers] == [None]
    assert not clock.getDelayedCalls()
