"""The bytes a client sends and gets, made once, ahead of the work."""

from __future__ import annotations

import base64
import os
import struct

PATH = "/engine.io/"
SEPARATOR = b"\r\n\r\n"

# What Chromium sends with every request of a page it has loaded from the same server.
BROWSER = """\
Connection: keep-alive\r
sec-ch-ua-platform: "Linux"\r
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
Chrome/138.0.0.0 Safari/537.36\r
sec-ch-ua: "Not)A;Brand";v="8", "Chromium";v="138"\r
sec-ch-ua-mobile: ?0\r
Accept: */*\r
Sec-Fetch-Site: same-origin\r
Sec-Fetch-Mode: cors\r
Sec-Fetch-Dest: empty\r
Referer: http://{host}/\r
Accept-Encoding: gzip, deflate, br, zstd\r
Accept-Language: en-US,en;q=0.9\r
Cookie: theme=dark; visited=1\r
"""

# No Sec-WebSocket-Extensions: nobody shall compress while we measure.
UPGRADE = """\
GET {path}?EIO=4&transport=websocket HTTP/1.1\r
Host: {host}\r
Connection: Upgrade\r
Pragma: no-cache\r
Cache-Control: no-cache\r
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
Chrome/138.0.0.0 Safari/537.36\r
Upgrade: websocket\r
Origin: http://{host}\r
Sec-WebSocket-Version: 13\r
Accept-Encoding: gzip, deflate, br, zstd\r
Accept-Language: en-US,en;q=0.9\r
Sec-WebSocket-Key: {key}\r
\r
"""

TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
OPEN_PACKET = b"0"
PING_PACKET = b"2"
PONG_PACKET = b"3"


def _header(opcode: int, length: int, mask: int) -> bytes:
    """Write a frame's first bytes, RFC 6455, 5.2; ``mask`` is 0x80 or 0."""
    if length < 126:
        return struct.pack("!BB", 0x80 | opcode, mask | length)
    if length < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, mask | 126, length)
    return struct.pack("!BBQ", 0x80 | opcode, mask | 127, length)


def client_frame(opcode: int, payload: bytes) -> bytes:
    """Write the frame of a client: masked, with a key drawn at random."""
    key = os.urandom(4)
    repeated = key * (len(payload) // 4 + 1)
    number = int.from_bytes(payload, "big") ^ int.from_bytes(
        repeated[: len(payload)], "big"
    )
    masked = number.to_bytes(len(payload), "big")
    return _header(opcode, len(payload), 0x80) + key + masked


def server_frame(opcode: int, payload: bytes) -> bytes:
    """Write the frame that a server must answer with: whole and unmasked."""
    return _header(opcode, len(payload), 0) + payload


def upgrade_request(port: int) -> bytes:
    """Write the request that opens a WebSocket session."""
    key = base64.b64encode(os.urandom(16)).decode()
    return UPGRADE.format(path=PATH, host=f"127.0.0.1:{port}", key=key).encode()


def poll_request(port: int, sid: str = "") -> bytes:
    """Write a polling GET as a browser does; without a ``sid``, a handshake."""
    host = f"127.0.0.1:{port}"
    query = "EIO=4&transport=polling&t=PYb4q2a" + (f"&sid={sid}" if sid else "")
    headers = BROWSER.format(host=host)
    return (f"GET {PATH}?{query} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n").encode()


def post_request(port: int, sid: str, body: bytes) -> bytes:
    """Write a polling POST as a browser does."""
    host = f"127.0.0.1:{port}"
    head = (
        f"POST {PATH}?EIO=4&transport=polling&t=PYb4q2b&sid={sid} HTTP/1.1\r\n"
        f"Host: {host}\r\nContent-Length: {len(body)}\r\n"
        f"Origin: http://{host}\r\nContent-type: text/plain;charset=UTF-8\r\n"
        f"{BROWSER.format(host=host)}\r\n"
    )
    return head.encode() + body


def frame_in(data: bytes) -> tuple[int, bytes] | None:
    """Return opcode and payload of the one short server frame in ``data``, if whole."""
    if len(data) < 2:
        return None
    length, start = data[1] & 0x7F, 2
    if length == 126:
        if len(data) < 4:
            return None
        length, start = int.from_bytes(data[2:4], "big"), 4
    if len(data) < start + length:
        return None
    return data[0] & 0x0F, data[start : start + length]


def answer_in(data: bytes) -> bytes | None:
    """
    Return the body of the one HTTP answer in ``data``, or None while it isn't whole.

    Raises:
        ValueError: If its status isn't 200, or nothing tells where it ends.

    """
    head, separator, body = data.partition(SEPARATOR)
    if not separator:
        return None
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(f"refused: {data[:300]!r}")
    lowered = head.lower()
    at = lowered.find(b"\r\ncontent-length:")
    if at >= 0:
        length = int(lowered[at + 17 :].split(b"\r\n", 1)[0])
        return body if len(body) >= length else None
    if b"\r\ntransfer-encoding: chunked" in lowered:
        return _dechunk(body) if body.endswith(b"0\r\n\r\n") else None
    raise ValueError(f"an answer without an end: {head!r}")


def _dechunk(body: bytes) -> bytes:
    whole = b""
    while True:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return whole
        whole += rest[:length]
        body = rest[length + 2 :]
