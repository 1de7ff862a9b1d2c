"""
Fields of a request, kept as the text that they came in and parsed when they are read.

A session keeps its handshake for life. As a dictionary each header costs some 200
bytes besides its text: a client that sends five hundred short ones would hold twenty
times what it sent. As text it holds that, and no more.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from functools import lru_cache
from typing import Generic, TypeVar, overload

__all__ = ["HeaderFields", "RawFields", "lower", "read_headers"]

Raw = TypeVar("Raw", str, bytes)
Other = TypeVar("Other")

lower = lru_cache(maxsize=256)(str.lower)
"""A header's name in lower case: they are a few, and come with each request."""


class RawFields(Mapping[str, str], Generic[Raw]):
    """A read-only mapping that is parsed again for each look at it."""

    __slots__ = ("_parsed", "_raw")

    _raw: Raw

    def __init__(self, raw: Raw, parsed: dict[str, str] | None = None) -> None:
        """
        Keep fields.

        Args:
            raw: The fields, as ``parse`` reads them.
            parsed: The same, if they have been parsed; until ``forget`` is called.

        """
        self._raw = raw
        self._parsed = parsed

    def forget(self) -> None:
        """Keep the text alone from now on."""
        self._parsed = None

    def parse(self) -> dict[str, str]:
        """Return all fields; the caller may keep the dictionary, this does not."""
        raise NotImplementedError

    def __getitem__(self, name: str) -> str:
        return self.parse()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parse())

    def __len__(self) -> int:
        return len(self.parse())

    # Mapping's own would parse for each field, and raise where there is none.

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | Other) -> str | Other: ...
    def get(self, name: str, /, default: object = None) -> object:
        """Return a field, or else the default."""
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

    Kept as ``\r\nName: value`` for each, and ``\r\n`` at the end.
    """

    __slots__ = ()

    def parse(self) -> dict[str, str]:
        """Return all headers."""
        lines = (line.partition(": ") for line in self._raw.split("\r\n") if line)
        return {name.lower(): value for name, _, value in lines}

    # Not by parsing, for one header is what is asked for most.

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
        """Return a header, or else the default."""
        given: object = name
        if not isinstance(given, str) or ":" in name:
            return default
        # No letter of latin-1 changes its length with its case.
        at = self._raw.lower().find(f"\n{name}: ")
        if at < 0:
            return default
        start = at + len(name) + 3
        return self._raw[start : self._raw.index("\r", start)]


def read_headers(raw: Iterable[tuple[bytes, Sequence[bytes]]]) -> HeaderFields:
    """
    Return headers by their names in lower case; of a repeated one all values, joined.

    Args:
        raw: Names and their values, as twisted.web keeps them: without line ends.

    """
    lines = [b"\r\n%b: %b" % (name, b", ".join(values)) for name, values in raw]
    return HeaderFields((b"".join(lines) + b"\r\n").decode("latin-1"))
