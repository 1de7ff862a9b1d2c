"""
Who the client really is, behind proxies that are trusted.

A proxy says in a header for whom it speaks, behind what the header already held, and
whoever sent the request may have begun the header. So it is read from the right, and
only as long as the one who wrote a part is trusted: the first address that is not a
trusted proxy's is the client's.

``X-Forwarded-*`` wins over ``Forwarded``: a request with both comes from a proxy that
writes one and passes the other through as the client made it up, and nearly every proxy
is set to write the former. One that writes ``Forwarded`` must remove the others.

RFC 7239; X-Forwarded-For, -Proto and -Host have no standard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, NamedTuple, TypeAlias

from ..exceptions import ConfigError

__all__ = ["ForwardedClient", "TrustedProxies"]

_Address: TypeAlias = IPv4Address | IPv6Address
_Network: TypeAlias = IPv4Network | IPv6Network

_UNIX: Final = "unix"
_SCHEMES: Final = {"https": True, "wss": True, "http": False, "ws": False}

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"
# RFC 7239, 6: an address, in brackets if it is IPv6, and perhaps a port, which may be
# obfuscated. In X-Forwarded-For some leave the brackets out.
_NODE: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<four>[0-9.]{7,15}))"
    r"(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?"
    r"|(?P<bare>[0-9A-Fa-f:.]{2,45})"
)
_HOST: Final = re.compile(r"(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
# RFC 7239, 4: a parameter and what ends it, written backwards. What is left of it may
# be an unfinished quoted string; read from there, it would swallow what is right of it.
# A quote inside a quoted string has an odd number of backslashes before it.
_PARAMETER: Final = re.compile(
    r"[ \t]*+(?:(?:"
    r'"(?P<quoted>(?:\\\\)*+(?:[^"\\]\\*+|"\\(?:\\\\)*+)*+)"'
    rf"|(?P<token>(?:{_TOKEN}|[:\[\]])++))"  # some forget the quotes
    rf"=(?P<name>{_TOKEN}++)[ \t]*+)?+(?P<end>[;,]|\Z)",
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


class ForwardedClient(NamedTuple):
    """
    Who sent a request, as far as trusted proxies tell.

    Attributes:
        address: The client's IP address; the nearest one that is known if a proxy hides
            the client's; ``None`` on a UNIX socket.
        is_secure: Whether the client used TLS, or ``None`` if no proxy says.
        host: The host, and perhaps port, that the client asked for, or ``None`` if no
            proxy says.

    """

    address: str | None
    is_secure: bool | None = None
    host: str | None = None


class _Hop(NamedTuple):
    """What one proxy says: for whom it speaks, and what that one asked of it."""

    node: str
    scheme: str
    host: str


class TrustedProxies:
    """The proxies whose word counts."""

    def __init__(self, networks: Sequence[str]) -> None:
        """
        Trust some networks.

        Args:
            networks: Addresses and networks like ``"10.0.0.0/8"``; ``"unix"`` for all
                that comes on a UNIX socket.

        Raises:
            ConfigError: If one is neither.

        """
        if isinstance(networks, str):
            raise ConfigError(
                "trusted_proxies", f"must be a list of strings, not {networks!r}"
            )
        self._unix = _UNIX in networks
        self._networks = [_to_network(each) for each in networks if each != _UNIX]

    def client(self, peer: str | None, headers: Mapping[str, str]) -> ForwardedClient:
        """
        Tell who sent a request; whatever its headers hold, they are read.

        Args:
            peer: The address at the other end of the connection, or ``None`` on a UNIX
                socket.
            headers: The request's headers, names in lower case; of a repeated header
                all values joined by ``", "``.

        """
        found = ForwardedClient(peer)
        if not self._trusts(peer):
            return found
        for hop in _hops(headers):
            address = _to_address(hop.node)
            found = ForwardedClient(
                found.address if address is None else str(address),
                _SCHEMES.get(hop.scheme.lower()),
                hop.host if _HOST.fullmatch(hop.host) else None,
            )
            if address is None or not self._lists(address):
                break
        return found

    def _trusts(self, peer: str | None) -> bool:
        if peer is None:
            return self._unix
        try:
            return bool(self._networks) and self._lists(ip_address(peer))
        except ValueError:  # what listens is neither TCP nor a UNIX socket
            return False

    def _lists(self, address: _Address) -> bool:
        address = _without_mapping(address)
        return any(address in each for each in self._networks)


def _to_network(text: object) -> _Network:
    try:
        return ip_network(text if isinstance(text, str) else "")
    except ValueError as error:
        raise ConfigError(
            "trusted_proxies",
            f"{text!r} is neither a network like '10.0.0.0/8' nor 'unix': {error}",
        ) from None


def _to_address(node: str) -> _Address | None:
    """Read an address; ``unknown``, an obfuscated name and garbage are none."""
    match = _NODE.fullmatch(node)
    if match is None:
        return None
    six, four, bare = match.group("six", "four", "bare")
    try:
        return IPv4Address(four) if four else _without_mapping(IPv6Address(six or bare))
    except ValueError:
        return None


def _without_mapping(address: _Address) -> _Address:
    """Give an IPv4 address as one, also if a socket for both kinds tells it."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _hops(headers: Mapping[str, str]) -> Iterator[_Hop]:
    """Give what the proxies say, the nearest one first."""
    nodes, schemes, hosts = (
        [word for each in headers.get(name, "").split(",") if (word := each.strip())]
        for name in ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")
    )
    if nodes or schemes or hosts:
        return _x_forwarded(nodes[::-1], schemes[::-1], hosts[::-1])
    return _forwarded(headers.get("forwarded", ""))


def _x_forwarded(
    nodes: Sequence[str], schemes: Sequence[str], hosts: Sequence[str]
) -> Iterator[_Hop]:
    """Put together what three headers say; each list begins with the nearest proxy."""
    for at, node in enumerate(nodes or [""]):
        # Many a proxy writes a list of addresses but one scheme and one host.
        yield _Hop(
            node,
            schemes[min(at, len(schemes) - 1)] if schemes else "",
            hosts[min(at, len(hosts) - 1)] if hosts else "",
        )


def _forwarded(header: str) -> Iterator[_Hop]:
    """Read a Forwarded header from the right, up to what makes no sense."""
    backwards, at, said = header[::-1], 0, dict[str, str]()
    while match := _PARAMETER.match(backwards, at):
        if match["name"]:
            name, value = match["name"][::-1].lower(), (match["token"] or "")[::-1]
            if match["quoted"]:
                value = _QUOTED_PAIR.sub(r"\1", match["quoted"][::-1])
            said[name] = value
        if match["end"] != ";" and said:
            yield _Hop(said.get("for", ""), said.get("proto", ""), said.get("host", ""))
            said = {}
        if not match["end"]:
            return
        at = match.end()
