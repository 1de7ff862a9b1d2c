"""What docs/parity.rst promises and no module's own tests show."""

from __future__ import annotations

import json
import re

import pytest
from fakes import NOOP, PROBE_PING, UPGRADE, Onlooker, RecordingTransport, frame

from twisted_engineio import Config, Cookie
from twisted_engineio.protocol import codec_v4
from twisted_engineio.session.interfaces import Transport
from twisted_engineio.transports.jsonp import JSONPTransport
from twisted_engineio.transports.polling import PollingTransport
from twisted_engineio.transports.websocket.transport import WebSocketTransport

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
ORIGIN = "https://a.example"


# The server.


@pytest.mark.parametrize("path", [b"/", b"/elsewhere", b"/engine.io/below"])
def test_an_upgrade_that_is_nobody_s_is_answered_at_once(server, browse, path):
    """There is no time to wait for: nobody else listens on the connection."""
    browser = browse(server).send(
        b"GET " + path + b"?EIO=4&transport=websocket HTTP/1.1\r\nHost: example.com\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    )
    assert browser.answer.status == 404


def shakes(browse, server, transport, **headers):
    """Open a session, over any transport."""
    if transport == "websocket":
        return browse(server).upgrade(WEBSOCKET, **headers)
    query = POLLING + ("&j=0" if transport == "jsonp" else "")
    return browse(server).get(query, **headers)


TRANSPORTS = ["polling", "jsonp", "websocket"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_cors_is_whole_on_every_transport(make_server, browse, transport):
    """Who is listed may come and is told so; who is not is refused."""
    server = make_server(
        jsonp=True,
        cors=[ORIGIN, re.compile(r"https://\w+\.b\.example")],
        cors_credentials=True,
        cors_exposed_headers=["X-Own"],
    )
    for origin in (ORIGIN, "https://any.b.example"):
        answer = shakes(browse, server, transport, Origin=origin).answer
        assert answer.status in (200, 101)
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["access-control-expose-headers"] == "X-Own"
        assert answer.headers["vary"] == "Origin"
    for origin in ("null", "https://evil.example", "https://b.example"):
        answer = shakes(browse, server, transport, Origin=origin).answer
        assert answer.status == 403
        assert "access-control-allow-origin" not in answer.headers


def test_cors_is_on_every_answer_of_a_session(make_server, browse):
    """GET, POST, and what is refused for another reason than the origin."""
    server = make_server(cors=[ORIGIN])
    sid = browse(server).get(POLLING, Origin=ORIGIN).answer.open()["sid"]
    query = f"{POLLING}&sid={sid}"
    browser = browse(server)
    browser.post(query, b"4x", Origin=ORIGIN)
    server.sessions[sid].send("y")
    browser.get(query, Origin=ORIGIN)
    browser.get(query.replace(sid, "x"), Origin=ORIGIN)
    assert [each.status for each in browser.answers] == [200, 200, 400]
    allowed = [each.headers["access-control-allow-origin"] for each in browser.answers]
    assert allowed == [ORIGIN] * 3


# Sessions.


def test_a_session_keeps_its_first_request(make_server, browse, listener):
    """What admit saw, for as long as it lives, on whatever transport."""
    server = make_server()
    browse(server).get(f"{POLLING}&room=a", X_Own="b", Cookie="c=d")
    (session,) = server.sessions.values()
    assert session.handshake is listener.admitted[0]
    assert session.handshake.query["room"] == "a"
    assert session.handshake.headers["x-own"] == "b"
    assert session.handshake.headers["cookie"] == "c=d"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("trusted", "address"), [((), "203.0.113.5"), (["203.0.113.5"], "198.51.100.7")]
)
def test_a_client_has_one_address_on_every_transport(
    make_server, browse, transport, trusted, address
):
    """The peer's, or what a trusted proxy says; anybody may write such a header."""
    server = make_server(jsonp=True, trusted_proxies=trusted)
    shakes(browse, server, transport, X_Forwarded_For="10.9.9.9, 198.51.100.7")
    (session,) = server.sessions.values()
    assert session.handshake.client_address == address


def test_a_session_that_moved_knows_where_it_began(session):
    """Its handshake names the transport it came on."""
    candidate = RecordingTransport("websocket")
    assert session.upgrade(candidate)
    assert session.probe is not None
    candidate.receiver.receive_packet(PROBE_PING)
    candidate.receiver.receive_packet(UPGRADE)
    assert session.probe is None
    assert (session.handshake.transport, session.transport.name) == (
        "polling",
        "websocket",
    )


def test_a_queue_that_leaves_is_told(make_server, open_session):
    """When it begins to, and when it is empty; one that stays is not told empty."""
    onlooker = Onlooker()
    session = open_session(make_server(observers=[onlooker]))
    session.transport.writable = False
    session.send("one")
    session.send("two")
    onlooker.events.clear()
    session.transport.ready(room=1)
    assert onlooker.events == [("flushing",)]
    session.transport.ready()
    assert onlooker.events == [("flushing",)] * 2 + [("flushed",)]
    session.transport_ready()
    assert len(onlooker.events) == 3


# Transports.


@pytest.mark.parametrize(
    "transport",
    [
        PollingTransport(codec_v4, Config()),
        JSONPTransport(codec_v4, Config(), "0"),
        WebSocketTransport(lambda _: None, {}, codec_v4),
    ],
)
def test_a_transport_is_what_a_session_asks_for(transport):
    """Whatever stands in the interface is there; both are named as on the wire."""
    asked = [name for name in vars(Transport) if name[0] != "_"]
    assert all(hasattr(transport, each) for each in asked)
    assert all(hasattr(transport, each) for each in Transport.__annotations__)
    assert transport.name in ("polling", "websocket")
    assert not transport.writable


def test_jsonp_of_revision_3(make_server, browse, listener):
    """Payloads have their lengths, binary is base64, and all is one string."""
    server = make_server(allow_eio3=True, jsonp=True)
    query = "EIO=3&transport=polling&j=3"
    answer = browse(server).get(query).answer
    payload = script_of(answer.body)
    length, _, packet = payload.partition(":")
    assert (int(length), packet[0]) == (len(packet), "0")
    query += f"&sid={json.loads(packet[1:])['sid']}"
    browse(server).post(query, "d=4:4😀é10:b4AQIDBA==".encode())
    assert listener.received == ["😀é", b"\x01\x02\x03\x04"]
    (session,) = server.sessions.values()
    session.send_many(["</script>", b"\x01\x02\x03\x04", "\u2028😀"])
    answer = browse(server).get(query).answer
    assert answer.headers["content-type"] == "text/javascript; charset=UTF-8"
    assert b"</script>" not in answer.body
    assert script_of(answer.body) == "10:4</script>10:b4AQIDBA==4:4\u2028😀"


def script_of(body: bytes) -> str:
    """Read the string that a script hands over."""
    text = body.decode()
    assert text[:10] == "___eio[3](", text
    return json.loads(text[10:-2])


@pytest.mark.parametrize("said", ["2probe", "5"])
def test_what_follows_an_upgrade_is_messages(make_server, browse, said):
    """No noop goes over the WebSocket, in either revision: the reference's way."""
    server = make_server(allow_eio3=True)
    for revision in (3, 4):
        browse(server).get(f"EIO={revision}&transport=polling")
        *_, session = server.sessions.values()
        query = f"EIO={revision}&transport=websocket&sid={session.sid}"
        browser = browse(server).upgrade(query)
        for each in ("2probe", "5"):
            browser.send(frame(each))
            if each == said:
                break
        assert browser.texts == ["3probe"]
        assert session.protocol == revision
        assert NOOP.type.value not in browser.texts


def test_a_preflight_s_answer_is_seen_too(make_server, browse):
    """Before the headers of any answer leave, an observer may add to them."""
    onlooker = Onlooker()
    server = make_server(cors=[ORIGIN], observers=[onlooker])
    browse(server).request("OPTIONS", POLLING, Origin=ORIGIN)
    ((headers, request, session),) = onlooker.answers
    assert headers.hasHeader(b"Access-Control-Allow-Methods")
    assert (request.method, session) == ("OPTIONS", None)


@pytest.mark.parametrize(
    ("index", "headers", "status"),
    [("0", {"Cookie": "a=b"}, 403), ("x", {}, 400), ("", {}, 400)],
)
def test_a_script_that_may_not_come_is_not_admitted(
    make_server, browse, listener, index, headers, status
):
    """The origin is judged before the application is asked, for JSONP as for all."""
    server = make_server(jsonp=True)
    answer = browse(server).get(f"{POLLING}&j={index}", **headers).answer
    assert answer.status == status
    assert listener.admitted == []


def test_an_index_means_nothing_to_a_websocket(server, browse):
    """JSONP is a dressing of polling."""
    browser = browse(server).upgrade(f"{WEBSOCKET}&j=x", Cookie="a=b")
    assert browser.answer.status == 101


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_id_that_no_cookie_can_hold_is_a_bad_request(
    make_server, browse, transport, logged
):
    """What make_sid gives is the operator's; it is logged, and the client refused."""
    server = make_server(jsonp=True, make_sid=lambda _: "\ud800", cookie=Cookie())
    answer = shakes(browse, server, transport).answer
    assert answer.status == 400
    assert b"Bad request" in answer.body
    assert "make_sid returned no unused session id" in logged.take()["log_format"]
