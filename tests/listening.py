"""A client of server-sent events over memory, which reads them as a browser does."""

from __future__ import annotations

from typing import Any

from fakes import Browser

from twisted_engineio.protocol import codec_v4

QUERY = "EIO=4&transport=sse"


def dechunk(data: bytes) -> bytes:
    """Join what there is of a chunked body: RFC 9112, 7.1."""
    body = b""
    while b"\r\n" in data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        if not length or len(rest) < length:
            break
        body += rest[:length]
        data = rest[length + 2 :]
    return body


class Stream:
    """
    One GET for a stream of events.

    Attributes:
        browser: Its connection.

    """

    def __init__(self, browser: Browser, query: str = QUERY, **headers: str) -> None:
        self.browser = browser
        browser.get(query, **headers)

    @property
    def head(self) -> str:
        return self.browser.wire.value().partition(b"\r\n\r\n")[0].decode()

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    @property
    def raw(self) -> bytes:
        return self.browser.wire.value().partition(b"\r\n\r\n")[2]

    @property
    def body(self) -> bytes:
        return dechunk(self.raw)

    @property
    def ended(self) -> bool:
        return self.raw.endswith(b"0\r\n\r\n")

    @property
    def events(self) -> list[tuple[str | None, str]]:
        """The events so far: their ids, and their payloads as they stand there."""
        found = []
        for block in self.body.decode().split("\n\n")[:-1]:
            fields = dict(
                line.split(": ", 1)
                for line in block.split("\n")
                if not line.startswith(":")
            )
            if "data" in fields:
                found.append((fields.get("id"), fields["data"]))
        return found

    @property
    def payloads(self) -> list[str]:
        return [data for _, data in self.events]

    @property
    def numbers(self) -> list[int]:
        return [int(each.rpartition(".")[2]) for each, _ in self.events if each]

    @property
    def packets(self) -> list[Any]:
        """Every packet so far, as the codec reads it."""
        return [packet for data in self.payloads for packet in read_payload(data)]

    def lose(self) -> None:
        self.browser.lose()


def read_payload(data: str) -> list[Any]:
    """Read an event's payload."""
    for written, plain in (("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        data = data.replace(written, plain)
    return list(codec_v4.decode_payload(data.encode(), binary=False))
