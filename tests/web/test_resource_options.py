"""What options add to answers: cookies, compression, proxies, JSONP, refusals."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from fakes import BINARY, CLOSE_FRAME, TEXT, Browser, Onlooker, frame
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import GzipEncoderFactory

from twisted_engineio import (
    CloseReason,
    Config,
    Cookie,
    Encoded,
    EngineIOResource,
    EngineIOSite,
    Reject,
)

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"


# Refusals in the application's words.


def test_a_refusal_may_have_headers(make_server, browse, listener):
    """On polling and before a 101."""

    def reject(_):
        raise Reject(401, "Who?", headers={"WWW-Authenticate": "Basic"})

    listener.on_admit = reject
    server = make_server()
    for browser in (browse(server).get(POLLING), browse(server).upgrade(WEBSOCKET)):
        assert browser.answer.status == 401
        assert browser.answer.headers["www-authenticate"] == "Basic"


def test_a_refusal_may_be_read_by_a_browser_s_page(make_server, browse, listener):
    """The WebSocket is opened, and closed with a code of the application's own."""

    def reject(_):
        raise Reject(401, "Who?", close_code=4001)

    listener.on_admit = reject
    server = make_server()
    browser = browse(server).upgrade(WEBSOCKET)
    assert browser.answer.status == 101
    assert browser.frames == [(CLOSE_FRAME, b"\x0f\xa1Who?")]
    assert browse(server).get(POLLING).answer.status == 401
    browser.send(frame("4hello"))
    assert server.sessions == {}
    assert listener.received == []


@pytest.mark.parametrize("code", [1000, 3999, 5000])
def test_a_close_code_of_one_s_own_is_in_the_private_range(code, session):
    """RFC 6455, 7.4.2."""
    with pytest.raises(ValueError, match="4000 to 4999"):
        Reject(close_code=code)
    if code != 1000:
        with pytest.raises(ValueError, match="4000 to 4999"):
            session.close(code=code)


def test_a_session_may_be_closed_with_a_code(server, browse, clock):
    """On a WebSocket the client is told; on polling there are no codes."""
    browser = browse(server).upgrade(WEBSOCKET)
    (session,) = server.sessions.values()
    session.close(code=4321)
    clock.advance(0)
    assert browser.frames[-1] == (CLOSE_FRAME, (4321).to_bytes(2, "big"))


# Headers.


def test_a_cookie_carries_the_id(make_server, browse):
    """Set by the answer to a handshake, over either transport, and by no other."""
    server = make_server(cookie=Cookie(name="io"))
    answer = browse(server).get(POLLING).answer
    sid = answer.open()["sid"]
    assert answer.headers["set-cookie"].startswith(f"io={sid}; ")
    posted = browse(server).post(f"{POLLING}&sid={sid}", b"4x").answer
    assert "set-cookie" not in posted.headers
    answer = browse(server).upgrade(WEBSOCKET).answer
    assert answer.headers["set-cookie"].split("=")[0] == "io"


def test_observers_may_add_headers(make_server, browse):
    """To every answer; they are told what was asked, and for which session."""

    class Adding(Onlooker):
        def headers(self, headers, request, session):
            super().headers(headers, request, session)
            headers.addRawHeader(b"X-Seen", b"yes")

    onlooker = Adding()
    server = make_server(observers=[onlooker])
    sid = browse(server).get(POLLING).answer.open()["sid"]
    query = f"{POLLING}&sid={sid}"
    asked = [
        browse(server).post(query, b"4x"),
        browse(server).get(query.replace(sid, "x")),
        browse(server).upgrade(query.replace("polling", "websocket")),
        browse(server).upgrade(WEBSOCKET),
    ]
    assert {each.answer.headers["x-seen"] for each in asked} == {"yes"}
    told = [
        (view.method, session and session.sid) for _, view, session in onlooker.answers
    ]
    assert told == [
        ("GET", sid),
        ("POST", sid),
        ("GET", None),
        ("GET", sid),
        ("GET", None),
    ]


def test_a_trusted_proxy_s_word_counts(make_server, browse, listener):
    """About the client, its scheme and the host; nobody else's does."""
    forwarded = {
        "X_Forwarded_For": "198.51.100.7",
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "shown.example",
        "Origin": "https://shown.example",
    }
    trusting = make_server(trusted_proxies=["203.0.113.0/24"])
    assert browse(trusting).get(POLLING, **forwarded).answer.status == 200
    assert listener.admitted[-1].client_address == "198.51.100.7"
    assert listener.admitted[-1].is_secure
    assert browse(make_server()).get(POLLING, **forwarded).answer.status == 403
    plain = {"X_Forwarded_For": "198.51.100.7"}
    assert (
        browse(trusting).get(POLLING, Origin="http://example.com").answer.status == 200
    )
    assert browse(make_server()).get(POLLING, **plain).answer.status == 200
    assert listener.admitted[-1].client_address == "203.0.113.5"


# Compression.


def polled(server, browse, data, *, sends=None, **headers):
    """Send a message and fetch it by a poll."""
    sid = browse(server).get(POLLING).answer.open()["sid"]
    server.sessions[sid].send(sends or data)
    return browse(server).get(f"{POLLING}&sid={sid}", **headers).answer


@pytest.mark.parametrize(
    ("accepts", "coding", "read"),
    [
        ("gzip, deflate", "gzip", gzip.decompress),
        ("deflate", "deflate", zlib.decompress),
        ("br", None, bytes),
        ("gzip;q=0", None, bytes),
    ],
)
def test_a_long_answer_is_compressed(server, browse, accepts, coding, read):
    """As the client accepts it; caches are told that it depends on that."""
    answer = polled(server, browse, "x" * 2000, Accept_Encoding=accepts)
    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["vary"] == "Accept-Encoding"
    assert read(answer.body) == b"4" + b"x" * 2000


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({}, "x" * 1022),
        ({"http_compression": False}, "x" * 2000),
        ({"http_compression_threshold": 5000}, "x" * 2000),
        ({}, Encoded("x" * 2000, compress=False)),
    ],
)
def test_an_answer_is_left_plain(make_server, browse, options, data):
    """Short, switched off, or of messages that must not be compressed."""
    server = make_server(**options)
    answer = polled(server, browse, data, Accept_Encoding="gzip")
    assert "content-encoding" not in answer.headers
    assert answer.body[:2] == b"4x"


def test_who_compresses_around_us_does_it_alone(server, house):
    """twisted.web's own wrapper compresses every answer: ours are left to it."""
    root, compressing = Resource(), [GzipEncoderFactory()]
    ours = EngineIOResource(server)
    root.putChild(b"engine.io", EncodingResourceWrapper(ours, compressing))
    browser = Browser(EngineIOSite(root, server, "/engine.io"))
    house.append(browser)
    browser.get(POLLING)
    (session,) = server.sessions.values()
    session.send("x" * 2000)
    browser.wire.clear()
    browser.get(f"{POLLING}&sid={session.sid}", Accept_Encoding="gzip")
    head, _, chunks = browser.wire.value().partition(b"\r\n\r\n")
    assert head.lower().count(b"content-encoding: gzip") == 1
    body = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        body, chunks = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    assert gzip.decompress(body) == b"4" + b"x" * 2000


OFFER = {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits"}


@pytest.mark.parametrize("takeover", [True, False])
def test_websocket_messages_may_be_compressed(make_server, browse, takeover):
    """From the threshold on, unless the message must not be."""
    server = make_server(
        per_message_deflate=True, per_message_deflate_takeover=takeover
    )
    browser = browse(server).upgrade(WEBSOCKET, **OFFER)
    extension = browser.answer.headers["sec-websocket-extensions"]
    assert ("client_no_context_takeover" in extension) is not takeover
    browser.wire.clear()
    (session,) = server.sessions.values()
    session.send("small")
    session.send("x" * 5000, compress=False)
    assert browser.frames == [(TEXT, b"4small"), (TEXT, b"4" + b"x" * 5000)]
    browser.wire.clear()
    session.send("x" * 5000)
    ((_, body),) = browser.frames
    assert browser.wire.value()[0] == 0xC1
    assert zlib.decompressobj(-15).decompress(body + b"\0\0\xff\xff") == (
        b"4" + b"x" * 5000
    )


def deflated(data):
    """Compress a message as a client may: RFC 7692, 7.2.1."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_compressed_messages_are_read(make_server, browse, listener):
    """And those that are not, on the same connection."""
    server = make_server(per_message_deflate=True)
    browser = browse(server).upgrade(WEBSOCKET, **OFFER)
    browser.send(frame(deflated(b"4" + b"x" * 5000), TEXT, first=0xC0))
    browser.send(frame("4plain"))
    assert listener.received == ["x" * 5000, "plain"]


def test_a_small_message_that_grows_is_too_large(make_server, browse, listener):
    """The limit counts what comes out, and stops before it is all there."""
    server = make_server(per_message_deflate=True)
    browser = browse(server).upgrade(WEBSOCKET, **OFFER)
    browser.send(frame(deflated(b"\0" * 50_000_000), BINARY, first=0xC0))
    assert browser.frames[-1] == (CLOSE_FRAME, b"\x03\xf1")
    assert listener.received == []
    assert listener.reasons == [CloseReason.PAYLOAD_TOO_LARGE]


def test_compression_that_is_off_is_not_offered(server, browse):
    """The offer is passed over."""
    answer = browse(server).upgrade(WEBSOCKET, **OFFER).answer
    assert "sec-websocket-extensions" not in answer.headers


def test_another_extension_is_passed_over(make_server, browse):
    """Only permessage-deflate is known here."""
    server = make_server(per_message_deflate=True)
    offer = {"Sec_WebSocket_Extensions": "permessage-bzip2"}
    answer = browse(server).upgrade(WEBSOCKET, **offer).answer
    assert answer.status == 101
    assert "sec-websocket-extensions" not in answer.headers


# JSONP.


def test_jsonp_is_polling_dressed_as_a_script(make_server, browse, listener):
    """Answers are scripts, bodies are forms."""
    server = make_server(jsonp=True)
    answer = browse(server).get(f"{POLLING}&j=7").answer
    assert answer.headers["content-type"] == "text/javascript; charset=UTF-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.body.startswith(b"___eio[7](")
    payload = json.loads(answer.body[len("___eio[7](") : -2])
    sid = json.loads(payload[1:])["sid"]
    query = f"{POLLING}&j=7&sid={sid}"
    assert browse(server).post(query, b"d=4hello").answer.body == b"ok"
    assert listener.received == ["hello"]
    assert browse(server).post(query, b"x=4hello").answer.status == 400
    assert listener.reasons == [CloseReason.PARSE_ERROR]


# Revision 3.


def test_binary_frames_of_revision_3_name_their_type(make_server, browse, listener):
    """Both ways; a frame without it is no packet."""
    server = make_server(allow_eio3=True)
    browser = browse(server).upgrade("EIO=3&transport=websocket")
    (session,) = server.sessions.values()
    browser.wire.clear()
    session.send(b"bytes")
    browser.send(frame(b"\x04bytes"))
    assert browser.frames == [(BINARY, b"\x04bytes")]
    assert listener.received == [b"bytes"]
    browser.send(frame(b"bytes"))
    assert listener.reasons == [CloseReason.PARSE_ERROR]


def test_the_defaults_add_nothing(server, browse):
    """Without options an answer has no more headers than it needs."""
    assert Config().cookie is None
    answer = browse(server).get(POLLING).answer
    assert set(answer.headers) <= {
        "server",
        "date",
        "content-type",
        "content-length",
        "cache-control",
    }
