"""A WebSocket's opening handshake is checked by us, before the application is asked."""

from __future__ import annotations

import zlib
from itertools import product

import pytest
from fakes import TEXT, Browser, Onlooker, frame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import Site

from twisted_engineio import Application, Config, EngineIOResource, Server
from twisted_engineio.exceptions import ErrorCode, Refused
from twisted_engineio.monitoring.counters import Counters
from twisted_engineio.transports.websocket.low_memory import LowMemoryWebSocketTransport
from twisted_engineio.transports.websocket.opening_handshake import (
    OpeningHandshake,
    choose_offer,
    lists,
    read_handshake,
)

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def handshake(
    query: str = WEBSOCKET, /, *more: str, version: str = "1.1", **changes: str | None
) -> bytes:
    """Write a handshake; underscores are dashes, None leaves a header out."""
    headers: dict[str, str | None] = dict(GOOD)
    headers.update({name.replace("_", "-"): changes[name] for name in changes})
    lines = [f"{name}: {text}" for name, text in headers.items() if text is not None]
    head = [f"GET /engine.io/?{query} HTTP/{version}", *lines, *more, "", ""]
    return "\r\n".join(head).encode("latin-1")


REFUSED = {
    "no key": {"Sec_WebSocket_Key": None},
    "an empty key": {"Sec_WebSocket_Key": ""},
    "a short key": {"Sec_WebSocket_Key": "c2hvcnQ="},
    "a key of 15 bytes": {"Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAA"},
    "a key of 17 bytes": {"Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAAA="},
    "a key of 32 bytes": {"Sec_WebSocket_Key": "A" * 43 + "="},
    "a key that is no base64": {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25j*Q=="},
    "an URL-safe key": {"Sec_WebSocket_Key": "dGhl_HNhbXBsZSBub25jZQ=="},
    "a key with bits too many": {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZR=="},
    "a key in two pieces": {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBu b25jZQ=="},
    "no version": {"Sec_WebSocket_Version": None},
    "version 8": {"Sec_WebSocket_Version": "8"},
    "version 0": {"Sec_WebSocket_Version": "0"},
    "version 013": {"Sec_WebSocket_Version": "013"},
    "version +13": {"Sec_WebSocket_Version": "+13"},
    "version 13.0": {"Sec_WebSocket_Version": "13.0"},
    "two versions": {"Sec_WebSocket_Version": "13, 8"},
    "no such version": {"Sec_WebSocket_Version": "\u00b9\u00b3"},
    "no Host": {"Host": None},
    "a Host of two words": {"Host": "two hosts"},
    "a port that is none": {"Host": "example.com:http"},
    "a path in Host": {"Host": "example.com/path"},
    "a user in Host": {"Host": "me@example.com"},
    "no subprotocol": {"Sec_WebSocket_Protocol": ""},
    "only commas": {"Sec_WebSocket_Protocol": ", ,"},
    "a quoted subprotocol": {"Sec_WebSocket_Protocol": '"chat"'},
    "a subprotocol of two words": {"Sec_WebSocket_Protocol": "chat, super chat"},
    "a path as subprotocol": {"Sec_WebSocket_Protocol": "chat/1"},
    "no ASCII": {"Sec_WebSocket_Protocol": "caf\xe9"},
    "a subprotocol twice": {"Sec_WebSocket_Protocol": "a, b, a"},
    "no Connection": {"Connection": None},
    "another Connection": {"Connection": "keep-alive"},
    "nearly an upgrade": {"Connection": "upgraded"},
}
REPEATED = [
    f"Sec-WebSocket-Key: {KEY}",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Version: 8",
    "Host: example.com",
    "Host: other.example",
    "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a",
    "Origin: http://example.com\r\nOrigin: http://example.com",
]


@pytest.fixture
def onlooker():
    """Give an observer that writes down what it hears."""
    return Onlooker()


@pytest.fixture(params=["handshake", "upgrade"])
def attempt(request, make_server, browse, onlooker):
    """Send an opening handshake: of a new session, or of one that polls."""

    def send(*more, **changes):
        server = make_server(observers=[onlooker])
        query, sid = WEBSOCKET, None
        if request.param == "upgrade":
            sid = browse(server).get(POLLING).answer.open()["sid"]
            query += f"&sid={sid}"
        admitted = len(server.application.admitted)
        browser = browse(server).send(handshake(query, *more, **changes)).turns()
        assert len(server.application.admitted) == admitted
        assert list(server.sessions) == ([sid] if sid else [])
        return browser

    return send


def check_refusal(browser, onlooker):
    """Find a refusal of ours: its form, and what the operator hears of it."""
    answer = browser.answer
    assert answer.body == b"Bad request"
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
    assert answer.headers["connection"] == "close"
    assert browser.wire.disconnecting
    told = [each for each in onlooker.events if each[0] == "connection_refused"]
    assert len(told) == 1
    return answer


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_what_breaks_the_rfc_is_refused_in_our_words(attempt, onlooker, changes):
    """RFC 6455, 4.2.1: before anybody is asked, and nothing of it comes back."""
    browser = attempt(**changes)
    answer = check_refusal(browser, onlooker)
    version = "Sec_WebSocket_Version" in changes
    assert answer.status == 400
    assert answer.headers.get("sec-websocket-version") == ("13" if version else None)
    assert browser.wire.value().startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize("line", REPEATED)
def test_what_is_there_once_is_not_repeated(attempt, onlooker, line):
    """Not even with the same value: a proxy may have read the other one."""
    assert check_refusal(attempt(line), onlooker).status == 400


def test_http_1_0_has_no_websockets(attempt, onlooker):
    """RFC 6455, 4.2.1: "an HTTP/1.1 or higher GET request"."""
    assert check_refusal(attempt(version="1.0"), onlooker).status == 400


def test_refused_handshakes_are_counted(make_server, browse):
    """As every other refusal."""
    counters = Counters()
    server = make_server(observers=[counters])
    browse(server).send(handshake(Sec_WebSocket_Key="no"))
    browse(server).send(handshake(Sec_WebSocket_Version="7"))
    assert counters.refused[ErrorCode.BAD_REQUEST, 400] == 2
    assert counters.handshakes_refused == 2


ACCEPTED = {
    "a list of upgrades": {"Upgrade": "h2c, WebSocket"},
    "upgrades with versions": {"Upgrade": "TLS/1.2 ,websocket"},
    "a browser's Connection": {"Connection": "keep-alive, Upgrade"},
    "Connection in capitals": {"Connection": "UPGRADE"},
    "a port": {"Host": "example.com:8080"},
    "an empty port": {"Host": "example.com:"},
    "IPv6": {"Host": "[::1]:3000"},
    "an underscore": {"Host": "my_service"},
    "an empty element": {"Connection": ",Upgrade,"},
    "a key with the last bits": {"Sec_WebSocket_Key": "/////////////////////w=="},
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_what_the_rfc_allows_is_accepted(server, browse, changes):
    """However unusual."""
    browser = browse(server).send(handshake(**changes)).turns()
    assert browser.answer.status == 101
    assert [text[0] for text in browser.texts] == ["0"]


def test_lists_may_stand_on_several_lines(server, browse):
    """RFC 9110, 5.3: as if they were one."""
    lines = ["Connection: keep-alive", "Connection: Upgrade", "Upgrade: h2c"]
    data = handshake(WEBSOCKET, *lines, Connection=None)
    assert browse(server).send(data).turns().answer.status == 101


SUBPROTOCOLS = {
    "chat": ["chat"],
    "v10.stomp": ["v10.stomp, v11.stomp"],
    "MQTT": ["MQTT,mqtt"],
    "first": ["first", "second"],
    "a!#$%&'*+-.^_`|~9": [" ,a!#$%&'*+-.^_`|~9"],
}


@pytest.mark.parametrize("lean", [True, False])
@pytest.mark.parametrize(("chosen", "offered"), SUBPROTOCOLS.items())
def test_a_subprotocol_comes_back_as_it_was_offered(
    make_server, browse, lean, chosen, offered
):
    """The first, letter for letter, through Autobahn or not."""
    server = make_server(per_message_deflate=not lean)
    lines = [f"Sec-WebSocket-Protocol: {each}" for each in offered]
    browser = browse(server).send(handshake(WEBSOCKET, *lines)).turns()
    assert browser.answer.headers["sec-websocket-protocol"] == chosen


# Extensions.

PLAIN = "permessage-deflate"
OFFERS = {
    PLAIN: PLAIN,
    "permessage-deflate; client_max_window_bits": PLAIN,  # Chromium, npm's ws
    "permessage-deflate; client_max_window_bits=8": PLAIN,
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover": (
        f"{PLAIN}; server_no_context_takeover"
    ),
    'permessage-deflate; server_max_window_bits="10"': (
        f"{PLAIN}; server_max_window_bits=10"
    ),
    "permessage-deflate;server_max_window_bits=15": (
        f"{PLAIN}; server_max_window_bits=15"
    ),
    "x-webkit-deflate-frame, Permessage-Deflate": PLAIN,
    "permessage-deflate; server_max_window_bits=8, permessage-deflate": PLAIN,
    'x-a; b="c", , permessage-deflate ; server_max_window_bits = 9,': (
        f"{PLAIN}; server_max_window_bits=9"
    ),
}
DECLINED = [
    "",
    ",,",
    ";",
    "permessage-bzip2",
    "permessage-deflate-frame",
    "permessage-deflate; server_max_window_bits=8",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_max_window_bits=09",
    "permessage-deflate; server_max_window_bits=ten",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=",
    "permessage-deflate; client_max_window_bits=99",
    "permessage-deflate; client_max_window_bits=-8",
    "permessage-deflate; client_no_context_takeover=1",
    "permessage-deflate; server_no_context_takeover=true",
    "permessage-deflate; client_max_window_bits; client_max_window_bits",
    "permessage-deflate; x-unknown",
    "permessage-deflate;",
    'permessage-deflate; server_max_window_bits="10',
    "permessage-deflate=1",
    'permessage-deflate \x80\xff; "',
]


@pytest.mark.parametrize(("header", "offer"), OFFERS.items())
def test_the_first_offer_that_can_be_taken_is_chosen(header, offer):
    """Without what the client only says about itself."""
    assert choose_offer([header.encode()]) == offer
    assert choose_offer(list(header.encode().split(b","))) == offer


@pytest.mark.parametrize("header", DECLINED)
@pytest.mark.parametrize("deflate", [False, True])
def test_an_offer_that_cannot_be_taken_is_declined(
    make_server, browse, header, deflate
):
    """RFC 7692, 5.1; and one that is malformed, too: a WebSocket needs none."""
    assert choose_offer([header.encode("latin-1")]) is None
    server = make_server(per_message_deflate=deflate)
    data = handshake(Sec_WebSocket_Extensions=header)
    browser = browse(server).send(data).turns()
    assert browser.answer.status == 101
    assert "sec-websocket-extensions" not in browser.answer.headers


@pytest.mark.parametrize("deflate", [False, True])
def test_extensions_may_be_offered_on_several_lines(make_server, browse, deflate):
    """RFC 6455, 11.3.2: "MAY appear multiple times in an HTTP request"."""
    server = make_server(per_message_deflate=deflate)
    data = handshake(
        WEBSOCKET,
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    )
    answer = browse(server).send(data).turns().answer
    assert answer.status == 101
    chosen = answer.headers.get("sec-websocket-extensions")
    expected = f"{PLAIN}; client_no_context_takeover"
    assert chosen == (expected if deflate else None)


WINDOWS = list(product(range(9, 16), [True, False]))


@pytest.mark.parametrize(("bits", "takeover"), WINDOWS)
def test_a_small_window_is_kept_to(make_server, browse, listener, bits, takeover):
    """RFC 7692, 7.1.2.1: what is sent can be read with a window of that size."""
    server = make_server(
        per_message_deflate=True, per_message_deflate_takeover=takeover
    )
    offer = f"{PLAIN}; server_max_window_bits={bits}; client_max_window_bits={bits}"
    data = handshake(Sec_WebSocket_Extensions=offer)
    browser = browse(server).send(data).turns()
    chosen = browser.answer.headers["sec-websocket-extensions"].split("; ")
    assert f"server_max_window_bits={bits}" in chosen
    browser.wire.clear()
    text = "".join(f"{number:x}" for number in range(10_000)) * 2
    (session,) = server.sessions.values()
    session.send(text)
    ((_, body),) = browser.frames
    assert zlib.decompressobj(-bits).decompress(body + b"\0\0\xff\xff") == (
        b"4" + text.encode()
    )
    packer = zlib.compressobj(wbits=-bits)
    packed = packer.compress(b"4" + text.encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
    browser.send(frame(packed[:-4], TEXT, first=0xC1 & 0xF0))
    assert listener.received == [text]


@pytest.mark.parametrize("takeover", [True, False])
def test_a_client_that_wants_no_context_gets_none(make_server, browse, takeover):
    """RFC 7692, 7.1.1.1: whatever ``per_message_deflate_takeover`` says."""
    server = make_server(
        per_message_deflate=True, per_message_deflate_takeover=takeover
    )
    offer = f"{PLAIN}; server_no_context_takeover; client_no_context_takeover"
    data = handshake(Sec_WebSocket_Extensions=offer)
    browser = browse(server).send(data).turns()
    chosen = browser.answer.headers["sec-websocket-extensions"].split("; ")
    assert "server_no_context_takeover" in chosen
    browser.wire.clear()
    (session,) = server.sessions.values()
    session.send("hello " * 500)
    session.send("hello " * 500)
    (_, first), (_, second) = browser.frames
    assert first == second


# Autobahn, behind it.

TOKENS = st.sampled_from(
    [
        *("websocket", "Upgrade", "13", KEY, "chat", ",", ";", "=", '"', " ", "\t"),
        *("permessage-deflate", "server_max_window_bits", "client_max_window_bits"),
        *("server_no_context_takeover", "8", "9", "15", "x", "/", ":", "[::1]"),
        *("client_no_context_takeover", "example.com", "\x80", "\xff", "13, 13"),
    ]
)
VALUES = st.lists(TOKENS, max_size=5).map("".join) | st.text(
    st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=12
)
LINES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Origin"),
                *("Sec-WebSocket-Version", "Sec-WebSocket-Protocol"),
                "Sec-WebSocket-Extensions",
            ]
        ),
        VALUES,
    ),
    max_size=4,
)


def changed(lines):
    """Write a handshake in which these lines stand for those of the same name."""
    names = {name for name, _ in lines}
    kept = {name: GOOD[name] for name in GOOD if name not in names}
    return [*kept.items(), *lines]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, deflate=st.booleans(), autobahn=st.booleans())
def test_autobahn_has_nothing_to_refuse(logged, lines, deflate, autobahn):
    """Whatever the headers are: it is we who refuse, or the WebSocket opens."""
    clock, onlooker = Clock(), Onlooker()
    config = Config(per_message_deflate=deflate, cors=["*"])
    server = Server(Application(), config, clock=clock, observers=[onlooker])
    if not autobahn:
        server.websockets.use(LowMemoryWebSocketTransport)
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    browser = Browser(Site(root, reactor=clock))
    head = [f"{name}: {value}" for name, value in changed(lines)]
    request = [f"GET /engine.io/?{WEBSOCKET} HTTP/1.1", *head, "", ""]
    browser.send("\r\n".join(request).encode("latin-1")).turns()
    refused = [each for each in onlooker.events if each[0] == "connection_refused"]
    assert len(server.sessions) + len(refused) <= 1
    written = browser.wire.value()
    if server.sessions:
        assert written.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert browser.texts[0].startswith("0")
    else:
        assert written.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    browser.lose()
    assert clock.getDelayedCalls() == []


def test_what_autobahn_would_say_does_not_reach_a_client(make_server, browse, logged):
    """If it does not understand us after all, the connection is cut."""
    server = make_server(per_message_deflate=True)
    server.websockets.setProtocolOptions(versions=[8])
    browser = browse(server).send(handshake()).turns()
    assert browser.wire.value() == b""
    assert browser.wire.disconnected
    assert server.sessions == {}
    assert "version 13 not supported" in logged.take()["reason"]


def test_a_lean_websocket_leaves_compression_to_autobahn(make_server, browse):
    """Which has all it needs for it, and forgets the handshake."""
    server = make_server(per_message_deflate=True)
    server.websockets.use(LowMemoryWebSocketTransport)
    data = handshake(Sec_WebSocket_Extensions=PLAIN)
    browser = browse(server).send(data).turns()
    assert browser.answer.headers["sec-websocket-extensions"].startswith(PLAIN)
    (session,) = server.sessions.values()
    browser.wire.clear()
    session.send("x" * 5000)
    assert browser.wire.value()[0] == 0xC1
    assert "http_headers" not in vars(session.transport)


def test_the_least_handshake_is_a_key():
    """What the reader returns is all that a WebSocket is opened with."""
    headers = Headers({name.encode(): [GOOD[name].encode()] for name in GOOD})
    assert read_handshake(headers, deflate=True) == OpeningHandshake(KEY, None, None)
    headers.setRawHeaders(b"Upgrade", [b"h2c"])
    with pytest.raises(Refused, match="Upgrade must list websocket"):
        read_handshake(headers, deflate=False)
    assert lists(headers, b"upgrade", b"h2c")
