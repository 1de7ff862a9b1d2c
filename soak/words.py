"""
Numbered messages, and a log of what was heard of them.

A message says which stream it belongs to, its number, and a checksum over these, over
whose it is and over its body: a message of another session, or one that was cut, glued
or changed, does not pass.
"""

from __future__ import annotations

import enum
import random
from typing import NamedTuple
from zlib import crc32

EVERYBODY = "all"
"""Whose the broadcast messages are."""


class Stream(enum.Enum):
    """The three streams of messages; each is numbered by itself, from 0."""

    UP = "u"
    DOWN = "d"
    CAST = "c"


class Mark(enum.Enum):
    """What a message means besides."""

    PLAIN = "."
    LAST = "!"  # nothing more will come in this stream
    HANG_UP = "?"  # likewise, and the server shall close the session


class Word(NamedTuple):
    """A message that passed its check."""

    stream: Stream
    mark: Mark
    number: int


class Spoilt(Exception):
    """A message is not what anybody sent to this session."""


def _checksum(whose: str, head: str, body: bytes) -> int:
    return crc32(body, crc32(f"{whose}/{head}".encode()))


def make(
    whose: str,
    stream: Stream,
    number: int,
    body: str | bytes,
    mark: Mark = Mark.PLAIN,
) -> str | bytes:
    """Write a message, text or binary as its body is."""
    head = f"{stream.value}{mark.value}{number}:"
    binary = body if isinstance(body, bytes) else body.encode()
    head = f"{head}{_checksum(whose, head, binary):08x}:"
    return head.encode() + body if isinstance(body, bytes) else head + body


def read(whose: str, data: str | bytes) -> Word:
    """
    Read a message.

    Raises:
        Spoilt: If it is not whole, not as it was sent, or somebody else's.

    """
    raw = data if isinstance(data, bytes) else data.encode()
    number, colon, rest = raw.partition(b":")
    given, end, body = rest.partition(b":")
    if not (colon and end):
        raise Spoilt(f"no message: {raw[:40]!r}")
    try:
        word = Word(Stream(chr(raw[0])), Mark(chr(raw[1])), int(number[2:]))
        checksum = int(given, 16)
    except (ValueError, IndexError):
        raise Spoilt(f"no message: {raw[:40]!r}") from None
    whose = EVERYBODY if word.stream is Stream.CAST else whose
    if checksum != _checksum(whose, number.decode() + ":", body):
        raise Spoilt(f"bad checksum, {len(raw)} bytes: {raw[:40]!r}")
    return word


class Heard:
    """
    The numbers that were heard, in the order in which they were.

    Attributes:
        runs: Pairs ``[first, stop]``: an undisturbed stream is one of them.

    """

    def __init__(self) -> None:
        self.runs: list[list[int]] = []

    def add(self, number: int) -> None:
        """Log a number."""
        if self.runs and self.runs[-1][1] == number:
            self.runs[-1][1] = number + 1
        else:
            self.runs.append([number, number + 1])


class Bodies:
    """Cuts bodies of random sizes out of one large text and one large binary."""

    SIZE = 1 << 18
    LARGEST = 1 << 16
    # What each wire must escape, and characters of one to four bytes.
    LETTERS = "abcdefghij 0123456789" * 4 + '\n\r%\\"<>&+=:;\u2028éß€漢😀\x00\x1f'

    def __init__(self, chance: random.Random) -> None:
        text = "".join(chance.choices(self.LETTERS, k=self.SIZE))
        # A JSONP client cannot say these two together: the protocol's own way to write
        # newlines in a form makes them a backslash and an n.
        self._text = text.replace("\\\n", "\\ ")
        self._binary = chance.randbytes(self.SIZE)

    def draw(self, chance: random.Random) -> str | bytes:
        """Give a body: mostly short, a few of up to 64 Ki characters or bytes."""
        size = int(2 ** chance.uniform(0, 16 if chance.random() < 0.01 else 10)) - 1
        return self.cut(chance, size)

    def cut(self, chance: random.Random, size: int) -> str | bytes:
        """Give a body of so many characters or bytes."""
        start = chance.randrange(self.SIZE - self.LARGEST)
        whole = self._text if chance.random() < 0.5 else self._binary
        return whole[start : start + size]
