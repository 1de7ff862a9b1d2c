"""
HTTP by hand: requests that no library would send, and answers taken literally.

A Peer is a server as seen from the wire. Each read has a deadline; a server that hangs
up is an observation ("connection lost"), not an error.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DEADLINE = 5.0
SEPARATOR = "\x1e"

Facts = dict[str, object]

_COMPARED = re.compile(
    r"content-type|content-encoding|cache-control|allow|vary|set-cookie|upgrade"
    r"|retry-after|x-content-type-options|access-control-.*|sec-websocket-.*"
)


# The certificates of tests are signed by nobody.
_TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_TRUSTING.check_hostname = False
_TRUSTING.verify_mode = ssl.CERT_NONE


@dataclass
class Answer:
    """One HTTP answer, or the lack of one (status 0)."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body, with session ids replaced by a word that is always the same."""
        text = self.body.decode("utf-8", "backslashreplace")
        # Revision 3 says how long the open packet is, and JSONP puts it into a string.
        text = re.sub(r"^(\D*)\d+:(?=0\{)", r"\1LENGTH:", text)
        return re.sub(r'(\\?"sid\\?":\\?")[^"\\]+', r"\1SID", text)

    @property
    def decoded(self) -> str:
        """The body, without its content encoding."""
        coding = self.headers.get("content-encoding")
        wbits = {"gzip": 31, "deflate": 15}.get(coding or "")
        return (zlib.decompress(self.body, wbits) if wbits else self.body).decode()

    @property
    def packets(self) -> list[str]:
        """The packets of a polling payload; bytes are told in hexadecimal digits."""
        if self.headers.get("content-type") == "application/octet-stream":
            return _packets_of_octets(self.body)
        if re.match(rb"\d+:", self.body):
            return _packets_3(self.text)
        return self.text.split(SEPARATOR)

    @property
    def sid(self) -> str:
        """The session id that the open packet gives."""
        found = re.search(rb'"sid\\?":\\?"([^"\\]+)', self.body)
        assert found, f"no session: {self}"
        return found.group(1).decode()

    def facts(self) -> Facts:
        """What is compared: not dates, not server names, not how bytes are framed."""
        if self.status == 0:
            return {"status": "connection lost"}
        connection = self.headers.get("connection", "").lower()
        facts: Facts = {
            "status": self.status,
            "body": self.text,
            "connection": "close" if "close" in connection else "kept",
            **{k: v for k, v in self.headers.items() if _COMPARED.fullmatch(k)},
        }
        if cookie := self.headers.get("set-cookie"):
            facts["set-cookie"] = re.sub("=[^;]+", "=SID", cookie, count=1)
        if not self.body:
            # The type of nothing.
            facts.pop("content-type", None)
        return facts


def _packets_3(text: str) -> list[str]:
    """The packets of a payload of revision 3; lengths are in UTF-16 code units."""
    units, packets = text.encode("utf-16-le"), []
    while units:
        digits, _, units = units.partition(":".encode("utf-16-le"))
        size = 2 * int(digits.decode("utf-16-le"))
        packets.append(units[:size].decode("utf-16-le"))
        units = units[size:]
    return packets


def _packets_of_octets(body: bytes) -> list[str]:
    """The packets of a binary payload of revision 3."""
    packets = []
    while body:
        digits, _, rest = body[1:].partition(b"\xff")
        size = int("".join(map(str, digits)))
        packet, is_text = rest[:size], body[0] == 0
        packets.append(packet.decode() if is_text else f"binary {packet.hex()}")
        body = rest[size:]
    return packets


class Connection:
    """One TCP connection to a server, with TLS or without."""

    def __init__(self, port: int, source: str = "127.0.0.1", tls: bool = False) -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), DEADLINE, source_address=(source, 0)
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = _TRUSTING.wrap_socket(self.socket)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Write; that the other side has hung up shows when reading."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def request(
        self,
        target: str,
        method: str = "GET",
        headers: Sequence[str] = (),
        body: bytes | None = None,
    ) -> None:
        """Write a request; with a body, its length is announced."""
        self.send(request(target, method, headers, body))

    def answer(self, method: str = "GET") -> Answer:
        """Read the next answer."""
        try:
            return self._answer(method)
        except ConnectionError:
            return Answer()

    def _answer(self, method: str) -> Answer:
        line = self.file.readline()
        if not line:
            return Answer()
        status = int(line.split()[1])
        headers: dict[str, str] = {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        empty = method == "HEAD" or status < 200 or status in (204, 304)
        return Answer(status, headers, b"" if empty else self._body(headers))

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self.file.read(int(headers.get("content-length", -1)))
        body = b""
        while size := int(self.file.readline(), 16):
            body += self.file.read(size)
            self.file.readline()
        self.file.readline()
        return body

    def close(self, *, reset: bool = False) -> None:
        """Hang up; with ``reset``, rudely."""
        if reset:
            linger_not = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
        self.file.close()
        self.socket.close()


def request(
    target: str,
    method: str = "GET",
    headers: Sequence[str] = (),
    body: bytes | None = None,
    version: str = "HTTP/1.1",
) -> bytes:
    """The bytes of a request. Header lines may hold any latin-1 character."""
    lines = [f"{method} {target} {version}", "Host: example.com", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Peer:
    """
    A server, and the connections that a case has opened to it.

    Attributes:
        port: Its port.
        path: Where in it Engine.IO stands.
        source: The loopback address that we come from.
        tls: Whether the port speaks TLS.
        revision: The protocol's, of what it is asked.

    """

    def __init__(
        self,
        port: int,
        path: str = "/engine.io/",
        source: str = "127.0.0.1",
        tls: bool = False,
    ) -> None:
        self.port = port
        self.path = path
        self.source = source
        self.tls = tls
        self.revision = 4
        self._connections: list[Connection] = []

    def connect(self) -> Connection:
        """Open a connection, closed with the peer at the latest."""
        connection = Connection(self.port, self.source, self.tls)
        self._connections.append(connection)
        return connection

    def close(self) -> None:
        """Hang up all of them."""
        for connection in self._connections:
            connection.close()

    def target(self, sid: str | None = None, more: str = "") -> str:
        """The target of a polling request, of a session if there is one."""
        sid_field = "" if sid is None else f"&sid={sid}"
        return f"{self.path}?EIO={self.revision}&transport=polling{sid_field}{more}"

    def ask(
        self,
        target: str,
        method: str = "GET",
        headers: Sequence[str] = (),
        body: bytes | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = self.connect()
        connection.request(target, method, headers, body)
        return connection.answer(method)

    def open(self, more: str = "", headers: Sequence[str] = ()) -> str:
        """Open a polling session."""
        return self.ask(self.target(more=more), headers=headers).sid

    def poll(self, sid: str) -> Answer:
        """One GET, answered when the server has something to say."""
        return self.ask(self.target(sid))

    def payload(self, packet: str) -> bytes:
        """A payload of one packet."""
        units = len(packet.encode("utf-16-le")) // 2
        return (f"{units}:{packet}" if self.revision == 3 else packet).encode()

    def waiting(self, sid: str, more: str = "") -> Connection:
        """A GET that the server has, and whose answer is not yet read."""
        connection = self.connect()
        # On a connection that is already accepted, it comes before whatever follows.
        connection.request("/nowhere")
        connection.answer()
        connection.request(self.target(sid, more))
        return connection

    def post(
        self, sid: str, body: bytes, headers: Sequence[str] = ("Content-Type: x/y",)
    ) -> Answer:
        """One POST."""
        return self.ask(self.target(sid), "POST", headers, body)

    def is_alive(self, sid: str) -> bool:
        """Whether the server knows this polling session (a noop asks for nothing)."""
        return self.post(sid, self.payload("6")).status == 200

    def heard(self, sid: str, waiting: Connection | None = None) -> list[str]:
        """
        All the packets that come for this session, up to an echo of our own.

        How a server spreads them over answers is left open. What comes last is
        ``gone`` when the session is over.
        """
        alive = self.post(sid, self.payload("4the end")).status == 200
        packets = waiting.answer().packets if waiting else []
        while alive and "4the end" not in packets:
            answer = self.poll(sid)
            alive = answer.status == 200
            packets += answer.packets if alive else []
        return packets[:-1] if alive else [*packets, "gone"]
