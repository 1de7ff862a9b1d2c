"""A client of Socket.IO is told that this is another protocol; its operator, too."""

from __future__ import annotations

import json

import pytest
from fakes import Browser, frame
from twisted.internet.task import Clock
from twisted.logger import Logger, globalLogPublisher
from twisted.web.resource import Resource
from twisted.web.server import Site

from twisted_engineio import CloseReason, EchoApplication
from twisted_engineio.policy.limited_log import LimitedLog, LineLimit
from twisted_engineio.server.socketio_hint import SocketIOHint, is_connect, log_hint
from twisted_engineio.tap import Options, makeService

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
CONNECTS = ["0", "0{}", '0{"token":"x"}', "0/admin", "0/admin,", '0/ns,{"a":"\\n"}']
OTHERS = ["", "1", "00", "01", "0 ", "hello", '2["message"]', "0x10", "0.5", b"0"]


@pytest.fixture
def said():
    """Collect what the hints say."""
    lines = []

    def observe(event):
        if "sign" in event:
            lines.append((event["log_level"].name, event["sign"], event.get("count")))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


@pytest.mark.parametrize("data", CONNECTS)
def test_a_connect_is_known(data):
    """With a namespace, with credentials, or bare."""
    assert is_connect(data)


@pytest.mark.parametrize("data", OTHERS)
def test_anything_else_is_none(data):
    """An application of Engine.IO sends what it likes."""
    assert not is_connect(data)


# The first message.


@pytest.fixture(params=["polling", "websocket"])
def talk(request, make_server, browse):
    """Open a session with an application, and give what sends messages on it."""

    def opened(application):
        server = make_server(application)
        if request.param == "websocket":
            browser = browse(server).upgrade(WEBSOCKET)
            browser.wire.clear()
            return server, lambda *each: browser.send(
                b"".join(frame("4" + data) for data in each)
            )
        sid = browse(server).get(POLLING).answer.open()["sid"]
        query = f"{POLLING}&sid={sid}"
        return server, lambda *each: browse(server).post(
            query, "\x1e".join("4" + data for data in each).encode()
        )

    return opened


class Echo(EchoApplication):
    """The echo, and why its sessions ended."""

    def __init__(self):
        self.reasons = []

    def session_closed(self, session, reason):
        self.reasons.append(reason)


@pytest.mark.parametrize("data", CONNECTS)
def test_the_echo_does_not_answer_it(talk, clock, said, data):
    """For that would be Socket.IO's yes: it closes the session."""
    application = Echo()
    server, send = talk(application)
    (session,) = server.sessions.values()
    browser = send(data)
    assert session.reason is CloseReason.FORCED_CLOSE
    clock.advance(0)
    clock.advance(30)
    assert application.reasons == [CloseReason.FORCED_CLOSE]
    assert b"40" not in browser.wire.value().partition(b"\r\n\r\n")[2]
    assert said == [("warn", "its first message was 40", None)]


@pytest.mark.parametrize("data", OTHERS[:-1])
def test_the_echo_answers_all_else(talk, said, data):
    """And what looks like it, where it is not the first message."""
    server, send = talk(EchoApplication())
    (session,) = server.sessions.values()
    send(data)
    send("0", "0/admin,")
    assert session.reason is None
    assert said == []


def test_another_application_gets_it(talk, listener, said):
    """It may mean something by it; the operator is told all the same."""
    _, send = talk(listener)
    send("0", "hello")
    assert listener.received == ["0", "hello"]
    assert said == [("warn", "its first message was 40", None)]


class Louder(EchoApplication):
    """An echo with a method of its own."""

    def message_received(self, session, data):
        session.data = data


def test_an_application_that_extends_the_echo_gets_it(talk, said):
    """Only what is sent back as it came is Socket.IO's yes."""
    server, send = talk(Louder())
    (session,) = server.sessions.values()
    send("0")
    assert session.data == "0"


def test_it_is_said_once_a_minute(said):
    """With a count of those that were not named."""
    clock = Clock()
    log = limited(clock)
    for seconds in (0, 1, 59):
        clock.advance(seconds)
        log_hint(log, "x")
    assert said == [("warn", "x", None), ("warn", "x", 2)]


def test_each_sign_is_said_by_itself(said):
    """A client at ``/socket.io/`` does not hide one whose first message is ``40``."""
    log = limited(Clock())
    for sign in ("x", "y", "x"):
        log_hint(log, sign)
    assert said == [("warn", "x", None), ("warn", "y", None)]


def limited(clock):
    """Make the log that a server has for what is said once a minute."""
    return LimitedLog(Logger(), LineLimit(clock, 1, 60.0, timed=False))


# /socket.io/ on our own port.


@pytest.fixture
def hinted():
    """Connect to a site with nothing but a hint in it."""
    root = Resource()
    root.putChild(b"socket.io", SocketIOHint("/a/b", limited(Clock())))
    return Browser(Site(root, reactor=Clock()))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize(
    "path",
    [
        "/socket.io/?EIO=4&transport=polling&t=x",
        "/socket.io?EIO=3&transport=polling",
        "/socket.io/?EIO=4&transport=websocket",
        "/socket.io/socket.io.js",
    ],
)
def test_a_client_reads_what_this_is(hinted, said, method, path):
    """Where the server is, too, and from a page of any origin."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nOrigin: http://a.org\r\n\r\n"
    answer = hinted.send(head.encode()).answer
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    body = json.loads(answer.body)
    assert body["message"].startswith("This is an Engine.IO server; it does not")
    assert body["path"] == "/a/b/"
    assert said == [("warn", "it requested /socket.io/", None)]
    hinted.lose()


def test_a_preflight_is_let_pass(hinted, said):
    """For a client that sends headers of its own."""
    head = b"OPTIONS /socket.io/ HTTP/1.1\r\nHost: x\r\nOrigin: http://a.org\r\n\r\n"
    answer = hinted.send(head).answer
    assert answer.status == 204
    assert answer.headers["access-control-allow-headers"] == "*"
    assert said == []
    hinted.lose()


def hint_of(*given):
    """Find what a command line puts at /socket.io."""
    options = Options()
    options.parseOptions(list(given))
    (listener,) = makeService(options)
    return listener.factory.resource.children.get(b"socket.io")


def test_the_command_line_puts_it_there(tmp_path):
    """With whatever application, and beside static files."""
    for given in ((), ("--static", str(tmp_path)), ("--app", "fakes:Listener")):
        assert isinstance(hint_of(*given), SocketIOHint)


def test_it_is_in_nobody_s_way(tmp_path):
    """Neither in the server's, wherever that stands, nor in a file's."""
    (tmp_path / "socket.io").mkdir()
    assert hint_of("--static", str(tmp_path)) is None
    for path in ("/socket.io", "/socket.io/v2"):
        assert not isinstance(hint_of("--path", path), SocketIOHint)
