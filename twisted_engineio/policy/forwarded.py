"""
The client's address, scheme and host, as reported by trusted proxies.

Each proxy appends an entry for its peer to the header that it received, and the client
may have sent the beginning of that header itself. So the header is parsed from the
right, for as long as the author of an entry is trusted: the first address that is not a
trusted proxy's is the client's.

``X-Forwarded-*`` takes precedence over ``Forwarded``: a request with both comes from a
proxy that writes one and passes the client's own version of the other through, and
nearly every proxy is configured to write ``X-Forwarded-*``. A proxy that writes
``Forwarded`` must remove the others.

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
# obfuscated. In X-Forwarded-For some proxies omit the brackets.
_NODE: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<four>[0-9.]{7,15}))"
    r"(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?"
    r"|(?P<bare>[0-9A-Fa-f:.]{2,45})"
)
_HOST: Final = re.compile(r"(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
# RFC 7239, 4: a parameter and its delimiter, reversed. The text to its left may be an
# unterminated quoted string, which in a left-to-right parse would swallow this entry.
# A quote inside a quoted string has an odd number of backslashes before it.
_PARAMETER: Final = re.compile(
    r"[ \t]*+(?:(?:"
    r'"(?P<quoted>(?:\\\\)*+(?:[^"\\]\\*+|"\\(?:\\\\)*+)*+)"'
    rf"|(?P<token>(?:{_TOKEN}|[:\[\]])++))"  # some proxies omit the quotes
    rf"=(?P<name>{_TOKEN}++)[ \t]*+)?+(?P<end>[;,]|\Z)",
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


class ForwardedClient(NamedTuple):
    """
    The client of a request, as reported by trusted proxies.

    Attributes:
        address: The client's IP address; the nearest known one if a proxy hides the
            client's; ``None`` on a UNIX socket.
        is_secure: Whether the client used TLS, or ``None`` if no proxy reports it.
        host: The host, and perhaps port, that the client requested, or ``None`` if no
            proxy reports it.

    """

    address: str | None
    is_secure: bool | None = None
    host: str | None = None


class _Hop(NamedTuple):
    """One proxy's report: the address of its peer, and what that peer requested."""

    node: str
    scheme: str
    host: str


class TrustedProxies:
    """The proxies whose forwarding headers are trusted."""

    def __init__(self, networks: Sequence[str]) -> None:
        """
        Parse the list of trusted networks.

        Args:
            networks: Addresses and networks like ``"10.0.0.0/8"``; ``"unix"`` for all
                connections on a UNIX socket.

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
        Return the client of a request; malformed headers are not an error.

        Args:
            peer: The address of the connection's peer, or ``None`` on a UNIX socket.
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
        except ValueError:  # the port is neither TCP nor a UNIX socket
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
    """Parse an address; return ``None`` for ``unknown`` and other names."""
    match = _NODE.fullmatch(node)
    if match is None:
        return None
    six, four, bare = match.group("six", "four", "bare")
    try:
        return IPv4Address(four) if four else _without_mapping(IPv6Address(six or bare))
    except ValueError:
        return None


def _without_mapping(address: _Address) -> _Address:
    """Convert an IPv4-mapped IPv6 address, of a dual-stack socket, to IPv4."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _hops(headers: Mapping[str, str]) -> Iterator[_Hop]:
    """Yield the reports of the proxies, the nearest one first."""
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
    """Combine the three headers; each list begins with the nearest proxy."""
    for at, node in enumerate(nodes or [""]):
        # Many proxies write a list of addresses but only one scheme and one host.
        yield _Hop(
            node,
            schemes[min(at, len(schemes) - 1)] if schemes else "",
            hosts[min(at, len(hosts) - 1)] if hosts else "",
        )


def _forwarded(header: str) -> Iterator[_Hop]:
    """Parse a Forwarded header from the right, up to the first malformed parameter."""
    backwards, at, fields = header[::-1], 0, dict[str, str]()
    while match := _PARAMETER.match(backwards, at):
        if match["name"]:
            name, value = match["name"][::-1].lower(), (match["token"] or "")[::-1]
            if match["quoted"]:
                value = _QUOTED_PAIR.sub(r"\1", match["quoted"][::-1])
            fields[name] = value
        if match["end"] != ";" and fields:
            yield _Hop(
                fields.get("for", ""), fields.get("proto", ""), fields.get("host", "")
            )
            fields = {}
        if not match["end"]:
            return
        at = match.end()
