"""
Request fields, stored as the text that was received and parsed on access.

A session keeps its handshake for its lifetime. In a dictionary each header costs some
200 bytes besides its text: five hundred short ones would take twenty times the memory
that the client sent. The text takes only its own size.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from functools import lru_cache
from typing import Generic, TypeVar, overload

__all__ = ["HeaderFields", "RawFields", "lower", "read_headers"]

Raw = TypeVar("Raw", str, bytes)
Other = TypeVar("Other")

lower = lru_cache(maxsize=256)(str.lower)
"""Return a header's name in lower case; cached, as each request repeats a few names."""


class RawFields(Mapping[str, str], Generic[Raw]):
    """A read-only mapping that is parsed again on each access."""

    __slots__ = ("_parsed", "_raw")

    _raw: Raw

    def __init__(self, raw: Raw, parsed: dict[str, str] | None = None) -> None:
        """
        Store fields.

        Args:
            raw: The fields, in the form that ``parse`` reads.
            parsed: The same fields, if already parsed; dropped by ``forget``.

        """
        self._raw = raw
        self._parsed = parsed

    def forget(self) -> None:
        """Drop the parsed fields and keep only the text."""
        self._parsed = None

    def parse(self) -> dict[str, str]:
        """Return all fields as a new dictionary, which the caller may keep."""
        raise NotImplementedError

    def __getitem__(self, name: str) -> str:
        return self.parse()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parse())

    def __len__(self) -> int:
        return len(self.parse())

    # Mapping's own methods would parse once per field, and handle a missing one with an
    # exception.

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | Other) -> str | Other: ...
    def get(self, name: str, /, default: object = None) -> object:
        """Return a field, or the default."""
        fields = self._parsed
        return (self.parse() if fields is None else fields).get(name, default)

    def items(self) -> ItemsView[str, str]:
        """Return names and values."""
        return self.parse().items()

    def values(self) -> ValuesView[str]:
        """Return the values."""
        return self.parse().values()

    def __repr__(self) -> str:
        return repr(self.parse())


class HeaderFields(RawFields[str]):
    r"""
    A request's headers by their names in lower case.

    Stored as ``\r\nName: value`` for each, with ``\r\n`` at the end.
    """

    __slots__ = ()

    def parse(self) -> dict[str, str]:
        """Return all headers."""
        lines = (line.partition(": ") for line in self._raw.split("\r\n") if line)
        return {name.lower(): value for name, _, value in lines}

    # Searched, not parsed: most accesses need a single header.

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | Other) -> str | Other: ...
    def get(self, name: str, /, default: object = None) -> object:
        """Return a header, or the default."""
        given: object = name
        # No header's name contains a colon; such a key could match part of a value.
        if not isinstance(given, str) or ":" in name:
            return default
        # Lower case never changes the length of latin-1 text, so positions stay valid.
        at = self._raw.lower().find(f"\n{name}: ")
        if at < 0:
            return default
        start = at + len(name) + 3
        return self._raw[start : self._raw.index("\r", start)]


def read_headers(raw: Iterable[tuple[bytes, Sequence[bytes]]]) -> HeaderFields:
    """
    Return headers by their names in lower case; repeated values are joined.

    Args:
        raw: Names and their values, as twisted.web stores them: without line ends.

    """
    lines = [b"\r\n%b: %b" % (name, b", ".join(values)) for name, values in raw]
    return HeaderFields((b"".join(lines) + b"\r\n").decode("latin-1"))
