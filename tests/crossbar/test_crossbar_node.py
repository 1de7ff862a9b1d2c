"""Engine.IO clients and WAMP components meet in a real Crossbar node."""

from __future__ import annotations

import json
import shutil
import subprocess
import time

import pytest
from nodes import START_DEADLINE, Errands, Node
from running import HERE as INTEROP
from running import PROJECT

MODES = {
    "polling": "polling",
    "websocket": "websocket",
    "upgrade": "websocket",
    "sse": "sse",
}
CHAT = "com.example.chat"
TICK = "com.example.tick"
DEADLINE = 20.0


def until(ask, wanted):
    """Ask again until the answer is the one that is wanted."""
    end = time.monotonic() + DEADLINE
    while (answer := ask()) != wanted:
        assert time.monotonic() < end, answer
        time.sleep(0.05)


@pytest.fixture
def subscribers(component):
    """Count the router's own sessions that are subscribed to a topic."""

    def count(uri):
        found = component.call(uri="wamp.subscription.lookup", args=[uri])
        if found is None:
            return 0
        return component.call(uri="wamp.subscription.count_subscribers", args=[found])

    return count


@pytest.fixture
def bridge(component):
    """Find the bridge's session with the router."""

    def find():
        ids = component.call(uri="wamp.session.list", args=[["bridge"]])
        return ids[0] if ids else None

    return find


@pytest.mark.parametrize("mode", MODES)
def test_a_client_calls_and_is_told_results_and_errors(visitors, mode):
    """On every transport; the procedure is a component's in the router's worker."""
    ada = visitors.open(name="ada", mode=mode)
    assert ada["transport"] == MODES[mode]
    call = {"op": "call", "id": 1, "uri": "com.example.add", "args": [2, 3]}
    answer = visitors.ask(name="ada", request=call)
    assert answer == {"op": "result", "id": 1, "args": [5]}
    call = {"op": "call", "id": "two", "uri": "com.example.subtract"}
    answer = visitors.ask(name="ada", request=call)
    assert answer["op"] == "error"
    assert answer["error"] == "wamp.error.no_such_procedure"
    call = {"op": "call", "id": 3, "uri": "com.example.add", "args": [2, "3"]}
    answer = visitors.ask(name="ada", request=call)
    assert answer["error"] == "wamp.error.runtime_error"
    visitors.close(name="ada")


@pytest.mark.parametrize("mode", MODES)
def test_a_client_publishes_and_subscribes(visitors, component, mode):
    """Clients hear each other and components, and components hear clients."""
    component.subscribe(uri=CHAT)
    for name in ("ada", "bob"):
        visitors.open(name=name, mode=mode, query={"name": name})
        subscribe = {"op": "subscribe", "id": 1, "uri": CHAT}
        answer = visitors.ask(name=name, request=subscribe)
        assert answer == {"op": "subscribed", "id": 1}
    publish = {"op": "publish", "id": 2, "uri": CHAT, "args": ["hi"]}
    assert visitors.ask(name="ada", request=publish) == {"op": "published", "id": 2}
    event = {"op": "event", "uri": CHAT, "args": ["hi"], "kwargs": {"who": "ada"}}
    assert visitors.hear(name="ada", op="event") == event
    assert visitors.hear(name="bob", op="event") == event
    assert component.hear() == {"args": ["hi"], "kwargs": {"who": "ada"}}
    component.publish(uri=CHAT, args=[{"from": "a component"}, "\u2603"])
    event = {"op": "event", "uri": CHAT, "args": [{"from": "a component"}, "\u2603"]}
    assert visitors.hear(name="bob", op="event") == event
    for name in ("ada", "bob"):
        visitors.close(name=name)


def test_subscriptions_are_shared_and_end_with_their_sessions(visitors, subscribers):
    """The router knows one subscriber for all, and none when the last has left."""
    assert subscribers(TICK) == 0
    for name, mode in (("ada", "websocket"), ("bob", "polling"), ("eve", "sse")):
        visitors.open(name=name, mode=mode)
        subscribe = {"op": "subscribe", "id": 1, "uri": TICK, "volatile": True}
        visitors.ask(name=name, request=subscribe)
        assert subscribers(TICK) == 1
        assert visitors.hear(name=name, op="event")["uri"] == TICK
    unsubscribe = {"op": "unsubscribe", "id": 2, "uri": TICK}
    answer = visitors.ask(name="ada", request=unsubscribe)
    assert answer == {"op": "unsubscribed", "id": 2}
    visitors.close(name="bob")
    assert subscribers(TICK) == 1
    visitors.close(name="eve")
    until(lambda: subscribers(TICK), 0)
    visitors.close(name="ada")


@pytest.mark.parametrize("mode", MODES)
def test_who_may_not_is_refused_and_goes_on(visitors, mode):
    """By the bridge's hook, by the router's own permissions, and for bad requests."""
    visitors.open(name="eve", mode=mode)
    for op, uri in (
        ("publish", TICK),
        ("call", "engineio.sessions"),
        ("call", "wamp.session.list"),
        ("subscribe", "com.elsewhere.topic"),
    ):
        request = {"op": op, "id": f"{op} {uri}", "uri": uri}
        answer = visitors.ask(name="eve", request=request)
        assert answer["error"] == "wamp.error.not_authorized", request
    visitors.say(name="eve", text="{")
    answer = visitors.hear(name="eve", op="error")
    assert answer["error"] == "engineio.error.bad_request"
    call = {"op": "call", "id": 1, "uri": "com.example.add", "args": [1, 1]}
    assert visitors.ask(name="eve", request=call)["args"] == [2]
    visitors.close(name="eve")


@pytest.mark.parametrize("mode", MODES)
def test_a_component_sends_to_sessions(visitors, component, mode):
    """To one of them by its name, or to all."""
    names = {}
    for name in ("ada", "bob"):
        opened = visitors.open(name=name, mode=mode, query={"name": name})
        names[name] = opened["session"]
    listed = component.call(uri="engineio.sessions")
    known = {each["session"]: each["who"] for each in listed}
    assert {names["ada"]: "ada", names["bob"]: "bob"}.items() <= known.items()
    sent = component.call(
        uri="engineio.send", args=[names["bob"], "psst"], kwargs={"loud": False}
    )
    assert sent is True
    whispered = {"op": "message", "args": ["psst"], "kwargs": {"loud": False}}
    assert visitors.hear(name="bob", op="message") == whispered
    assert component.call(uri="engineio.broadcast", args=["all"]) >= 2
    for name in ("ada", "bob"):
        said = visitors.hear(name=name, op="message")
        assert said == {"op": "message", "args": ["all"]}
        visitors.close(name=name)
    until(
        lambda: component.call(uri="engineio.send", args=[names["bob"], "?"]),
        {
            "error": "engineio.error.no_such_session",
            "args": ["no session has this name"],
        },
    )


def test_the_example_s_component_reminds_one_session(visitors):
    """A procedure that is told a session's name sends to it later."""
    ada = visitors.open(name="ada", mode="websocket")
    kwargs = {"session": ada["session"], "text": "it is time", "seconds": 0.1}
    call = {"op": "call", "id": 1, "uri": "com.example.remind", "kwargs": kwargs}
    assert visitors.ask(name="ada", request=call)["args"] == ["I will"]
    said = visitors.hear(name="ada", op="message")
    assert said == {"op": "message", "args": ["it is time"]}
    visitors.close(name="ada")


def test_a_call_ends_with_its_session(visitors, component):
    """The procedure is told that nobody waits for it any more."""
    component.register(uri="com.example.wait")
    visitors.open(name="ada", mode="websocket")
    call = {"op": "call", "id": 1, "uri": "com.example.wait"}
    visitors.say(name="ada", text=json.dumps(call))
    assert component.called() == "called"
    visitors.close(name="ada")
    assert component.called() == "cancelled"


def test_a_client_cannot_take_the_router_from_the_others(visitors, bridge):
    """Whatever it says, the bridge's session with the router stays."""
    before = bridge()
    visitors.open(name="eve", mode="websocket")
    for value in ("\ud800", "\0!", 2**70, 1e308 * 10, [[]], "x" * 300_000):
        call = {"op": "call", "id": 1, "uri": "com.example.add", "args": [value, 1]}
        visitors.say(name="eve", text=json.dumps(call))
        visitors.hear(name="eve", op="error")
    for uri in ("", "com..add", "com.example.#", "com example", 5, None, "\ud800"):
        visitors.say(name="eve", text=json.dumps({"op": "call", "id": 1, "uri": uri}))
        visitors.hear(name="eve", op="error")
    for name in ("self", "options", "procedure", "details"):
        kwargs = {name: 1}
        call = {"op": "call", "id": 1, "uri": "com.example.add", "kwargs": kwargs}
        visitors.say(name="eve", text=json.dumps(call))
        visitors.hear(name="eve", op="error")
    visitors.say(name="eve", text="[" * 100_000)
    visitors.hear(name="eve", op="error")
    assert bridge() == before
    visitors.close(name="eve")


def test_a_bridge_survives_the_loss_of_its_router(visitors, component, bridge):
    """What is under way fails, sessions stay, and subscriptions are made again."""
    component.register(uri="com.example.never")
    visitors.open(name="ada", mode="websocket")
    subscribe = {"op": "subscribe", "id": 1, "uri": CHAT}
    visitors.ask(name="ada", request=subscribe)
    call = {"op": "call", "id": 2, "uri": "com.example.never"}
    visitors.say(name="ada", text=json.dumps(call))
    assert component.called() == "called"
    lost = bridge()
    component.call(uri="wamp.session.kill", args=[lost])
    answer = visitors.hear(name="ada", op="error")
    assert answer["id"] == 2
    assert answer["error"] == "engineio.error.no_router"
    until(lambda: bridge() not in (None, lost), True)
    call = {"op": "call", "id": 3, "uri": "com.example.add", "args": [2, 2]}
    assert visitors.ask(name="ada", request=call)["args"] == [4]
    component.publish(uri=CHAT, args=["again"])
    assert visitors.hear(name="ada", op="event")["args"] == ["again"]
    until(lambda: component.call(uri="engineio.broadcast", args=["still"]), 1)
    visitors.close(name="ada")


def test_the_example_s_page_does_what_it_shows(crossbar, browser):
    """In Chromium: it ticks, adds, publishes, is reminded, and fits a telephone."""
    screenshot = PROJECT / "build" / "crossbar-page.png"
    facts = browser.run("tour", crossbar, screenshot=str(screenshot))
    assert facts == {"complaints": [], "wide": [0] * 6, "papers": 2}
    assert screenshot.stat().st_size > 5_000


def test_a_node_leaves_nothing_to_commit(crossbar, tmp_path):
    """Its keys above all: what it has made is ignored, its configuration is not."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    shutil.copy(PROJECT / ".gitignore", tmp_path)
    place = "examples/crossbar/.crossbar"
    left = {path.name for path in (crossbar.folder / ".crossbar").iterdir()}
    assert {"key.priv", "key.pub", "config.json"} <= left
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *(f"{place}/{each}" for each in left)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(ignored.stdout.split()) == {f"{place}/{each}" for each in left} - {
        f"{place}/config.json"
    }


def test_the_client_of_the_docs_runs(node, crossbar):
    """It stands among npm's packages for the while: there it finds engine.io-client."""
    script = INTEROP / "node_modules" / "crossbar_client.mjs"
    shutil.copy(PROJECT / "docs" / "crossbar" / "client.mjs", script)
    with subprocess.Popen(
        [node, script, crossbar.url], stdout=subprocess.PIPE, text=True
    ) as client:
        lines = [client.stdout.readline() for _ in range(2)]
        client.kill()
    script.unlink()
    assert "2 + 3 = 5\n" in lines
    assert any(line.startswith(f"{TICK} ") for line in lines), lines


@pytest.fixture
def start(tmp_path):
    """Start a node of the test's own, and see that none is left."""
    nodes = []

    def begin(**extra):
        nodes.append(Node(tmp_path, **extra))
        return nodes[-1]

    yield begin
    for each in nodes:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def test_a_node_stops_in_good_order(start, wamp_player):
    """Its clients are told, and it ends. This one's bridge is joined by WebSocket."""
    crossbar = start(router="ws://127.0.0.1:{port}/ws")
    crossbar.wait_until_it_accepts()
    visitors = Errands(wamp_player, crossbar)
    visitors.open(name="ada", mode="websocket")
    visitors.open(name="bob", mode="polling")
    call = {"op": "call", "id": 1, "uri": "com.example.add", "args": [2, 3]}
    assert visitors.ask(name="ada", request=call)["args"] == [5]
    crossbar.tell_to_stop()
    visitors.closed(name="ada")
    visitors.closed(name="bob")
    crossbar.stop()


def test_a_mistake_in_extra_ends_the_start(start):
    """Crossbar's log names the option, and the nearest that there is."""
    crossbar = start(ping_intervall="3")
    assert crossbar.process.wait(START_DEADLINE) != 0
    said = "ping_intervall: there is no such option; did you mean ping_interval?"
    assert said in crossbar.log
