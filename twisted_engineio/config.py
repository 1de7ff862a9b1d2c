"""
Every limit and interval of the server, in one frozen object.

Seconds and bytes, always: the wire's milliseconds appear in ``open_packet.py`` only.
Each limit says its reason and who else has it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self, TypeAlias

from .cookie import Cookie
from .exceptions import ConfigError
from .policy.forwarded import TrustedProxies
from .policy.origins import listed_origin
from .protocol.packet import Encoded

__all__ = ["TRANSPORTS", "Config", "check_interval"]

TRANSPORTS: Final = ("polling", "sse", "websocket")
"""The transports that can be switched on, in the order in which clients try them."""

OVER_RATE: Final = ("pause", "close")
"""What may be done with a session that sends more than it may."""

Origins: TypeAlias = Sequence[str | re.Pattern[str]] | Callable[[str], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """
    The server's options; the defaults are the reference server's where it has one.

    Raises:
        ConfigError: If a name is unknown (the nearest known one is in the message) or
            a value cannot work.

    """

    ping_interval: float = 25.0
    """Seconds between a pong and the next ping."""

    ping_timeout: float = 20.0
    """Seconds that a client has to answer a ping."""

    upgrade_timeout: float = 10.0
    """Seconds that a client has to finish an upgrade it began."""

    close_timeout: float = 30.0
    """Seconds that unsent data of a closed session waits for its client, and that a
    WebSocket has to close, whatever ends it; then its connection is aborted. As long
    as the reference waits."""

    max_payload: int = 1_000_000
    """Bytes of one POST body or one WebSocket message, inclusive; of a text message
    with the digit of its type. The reference's maxHttpBufferSize: more makes it easy to
    fill a server's memory."""

    max_fragments: int = 16_384
    """WebSocket frames that one message may be cut into; as many as ws allows. Endless
    empty fragments cost a server time but never reach ``max_payload``."""

    max_upgrade_attempts: int = 10
    """Attempts of a session to move to another transport, in each ``ping_interval`` and
    at once. A client makes one, and another one after each time that its network
    breaks it off; each costs as much as a handshake."""

    max_packets: int = 65_536
    """Packets of one POST; one more is an error, and nothing behind it is delivered.
    All of them are handled in one turn of the reactor, which serves nobody else
    meanwhile. High, for a client sends in one POST whatever it has collected: with a
    limit of 16, python-engineio's lost messages of clients that were only fast."""

    high_water_mark: int = 65_536
    """Buffered bytes above which ``Session.send`` returns False. The size at which
    Twisted's own transports pause a producer."""

    low_water_mark: int = 16_384
    """Buffered bytes at which ``Session.drained`` fires. A socket that does not take
    more than these is full: what follows is queued. A goodbye behind more of them
    leaves by itself."""

    max_buffered: int = 16_777_216
    """Buffered bytes above which a session ends with "slow client": one slow reader
    must not hold the memory of all others. Ours; the reference has no limit. What
    is queued counts, and what waits for a socket that is full."""

    max_sessions: int | None = 100_000
    """Sessions at one time; who comes then is answered 503. As many idle ones take
    about 1 GB: a flood of handshakes is to end with an answer, not with the process.
    ``None`` for any number."""

    max_connections: int | None = None
    """Connections of our own port at one time, WebSockets and others; a new one beyond
    it is closed. ``None``: twice ``max_sessions`` and a thousand more, for a client
    that polls holds two, and clients may share the address of a proxy; any number if
    ``max_sessions`` is ``None``. A connection costs memory and a descriptor before it
    has a session. nginx's worker_connections."""

    max_sessions_per_address: int | None = None
    """Sessions at one time from one client address; who comes then is answered 429. Of
    IPv6, all addresses of a /64 network count as one, for a household has them all.
    Without a limit by default: a whole office shares an address, and so do all clients
    behind a proxy that is not in ``trusted_proxies``."""

    max_handshakes_per_second: float | None = None
    """New sessions each second, and as many at once; who comes then is answered 503.
    Without a limit by default: what a machine can take is its operator's to measure,
    and after a restart all clients come at once, rightly."""

    max_messages_per_second: float | None = None
    """Packets that a session may send each second, messages or others, and as many at
    once; pings and pongs of WebSocket itself count too. Without a limit by default:
    what is too many depends on the application."""

    max_bytes_per_second: float | None = None
    """Bytes of data that a session may send each second, and as many at once; a message
    with more is paid for in the seconds that follow. Without a limit by default,
    likewise."""

    over_rate: str = "pause"
    """What happens to a session that sends more than the two limits above allow.
    ``"pause"``: it is read more slowly, and TCP slows its client down. Nothing is lost
    unless the client leaves while it is held, or is held for so long that its pong is
    read too late: then the session ends, and what waits is dropped.
    ``"close"``: it ends with "rate exceeded"."""

    transports: Sequence[str] = ("polling", "websocket")
    """The transports that are switched on: these, and ``"sse"``, which no other server
    has."""

    allow_upgrades: bool = True
    """Whether a polling session may move to WebSocket."""

    allow_eio3: bool = False
    """Whether clients of revision 3 (Socket.IO 2) are served too."""

    jsonp: bool = False
    """Whether polling clients may ask for JSONP, for browsers without CORS. Off, unlike
    in the reference: a script is loaded without an Origin, so any page that a user in
    an intranet, or of this machine, looks at could read the answers."""

    initial_packet: str | bytes | None = None
    """A message that follows every open packet, in the same payload."""

    ping_jitter: float = 0.0
    """Seconds, at most ``ping_interval``, by which a session's first ping may come
    early, at random: so that ten thousand sessions that reconnected in one second are
    not pinged in one second for ever after."""

    http_compression: bool = True
    """Whether answers to polls are compressed where the client accepts it."""

    http_compression_threshold: int = 1024
    """Bytes of an answer from which on it is compressed. The reference's."""

    per_message_deflate: bool = False
    """Whether WebSocket messages may be compressed. Off as in the reference: zlib holds
    some 300 KB for each connection while it is at work, and small messages grow."""

    per_message_deflate_threshold: int = 1024
    """Bytes of a message from which on it is compressed. The reference's."""

    per_message_deflate_takeover: bool = False
    """Whether a connection keeps zlib's memory from one message to the next: smaller
    messages, but 300 KB for every connection for as long as it lives. If not, clients
    are told to do without as well, and nothing of zlib's is kept between messages."""

    sse_max_bytes: int = 16_777_216
    """Bytes after which a stream of events ends, for its client to connect again and
    go on where it left off. Some clients keep all of a response in memory; SockJS ends
    one after 128 KiB for them, but each new one costs a second here."""

    sse_max_age: float = 1800.0
    """Seconds after which a stream of events ends likewise: sooner than a load balancer
    cuts it, in the middle of something. Google's cut any request after an hour."""

    sse_keepalive: float = 15.0
    """Seconds of silence after which a stream of events carries a comment. The HTML
    standard advises 15; nginx gives up a silent server after 60."""

    sse_ring_events: int = 256
    """Events that a client may leave unacknowledged; then nothing more is sent until it
    acknowledges some. They must be held to be replayed, for every session."""

    sse_ring_bytes: int = 1_048_576
    """Bytes of events likewise. 256 events of 4 KiB each."""

    sse_ack_timeout: float = 5.0
    """Seconds that a client which listens has to acknowledge when its replay ring is
    full; then the session ends with "replay overflow". The reference's ``pingTimeout``
    was as long until revision 4: an acknowledgement is the answer to a ping."""

    cookie: Cookie | None = None
    """A cookie with the session's id, set by the answer to a handshake, for load
    balancers that route by it."""

    trusted_proxies: Sequence[str] = ()
    """Addresses and networks of proxies whose word about the client counts:
    ``X-Forwarded-For`` and its like. Anybody can write such a header."""

    cors: Origins = ()
    """Foreign origins that may use the server: ``scheme://host[:port]``, ``file://``,
    ``null`` or a compiled pattern each, ``"*"`` for any; or a function that is given
    the origin. Pages of the same origin always may. Any page can have itself called
    ``null``, in a sandboxed frame."""

    cors_credentials: bool = False
    """Whether foreign origins may send cookies. Not together with ``"*"``."""

    cors_methods: Sequence[str] = ("GET", "POST")
    """Methods that a preflight is told."""

    cors_allowed_headers: Sequence[str] = ("Content-Type",)
    """Request headers that a preflight is told."""

    cors_exposed_headers: Sequence[str] = ()
    """Answer headers that foreign pages may read."""

    cors_max_age: int = 600
    """Seconds for which a browser may remember a preflight's answer. Chromium's own
    limit is two hours, Safari's ten minutes."""

    cors_preflight_continue: bool = False
    """Whether a preflight goes on, its headers set, as any other request does: where
    somebody around the resource answers it."""

    first_poll_timeout: float = 10.0
    """Seconds that a client which began by polling has to come back with its id. A
    handshake costs a session that nobody polls, which would else be held until its
    ping is overdue, 45 seconds. As long as an upgrade may take."""

    handler_timeout: float = 30.0
    """Seconds that an application has to finish what it began for a session whose
    client is gone; then its Deferred is cancelled. As long as ``close_timeout``: a
    handler that waits for what never comes would hold its session for ever."""

    paused_timeout: float | None = 300.0
    """Seconds that an application may take no message of a session with more than 64
    KiB unread, or whose client is gone, before the session ends, "application error".
    They begin again with each message that it takes: slow progress ends no session.
    nginx gives an upstream 60 seconds between two reads; ``None`` for any time."""

    drain_timeout: float = 5.0
    """Seconds that ``Server.stop`` takes at most: many sessions are ended spread over
    most of them, so that their clients do not all connect anew in one second; then what
    is left is cut off. systemd kills a process after 90, Docker after 10."""

    request_timeout: float = 60.0
    """Seconds that a client has to send a whole request, headers and body, on our own
    port, the first of a connection from its beginning; and after which one that takes
    nothing of an answer is cut off. nginx gives 60 for each; a slow sender or reader
    otherwise holds a socket for ever."""

    keep_alive_timeout: float = 75.0
    """Seconds that a connection of our own port may stay idle between two requests. As
    nginx's keepalive_timeout, and longer than a proxy keeps one to its upstream (nginx
    and AWS: 60): what closes first must be the proxy, which else sends a request into a
    connection that is being closed, and answers 502."""

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Refuse unknown names before the dataclass does, with a better message."""
        known = [each.name for each in fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {known}"
                raise ConfigError(name, f"there is no such option; {hint}")
        return object.__new__(cls)

    def __post_init__(self) -> None:
        """Check every value, so that a mistake shows before anything listens."""
        for name in _INTERVALS:
            check_interval(name, getattr(self, name))
        for name in _SECONDS:
            self._require_number(name, float, _SECONDS_ABOVE_0)
        for name in _AMOUNTS:
            self._require_number(name, int, "a whole number above 0")
        self._check_limits()
        self._check_water_marks()
        self._check_transports()
        self._check_jitter_and_flags()
        self._check_objects()
        for name in _LISTS:
            self._require_names(name)
        for name in _TOKENS:
            self._require_tokens(name)
        TrustedProxies(self.trusted_proxies)
        if not callable(self.cors):
            self._check_origins(self.cors)

    def _check_transports(self) -> None:
        self._require_names("transports")
        # What is named twice would be announced twice, in the order of the first.
        object.__setattr__(self, "transports", tuple(dict.fromkeys(self.transports)))
        if not self.transports:
            raise ConfigError(
                "transports", f"name at least one of {', '.join(TRANSPORTS)}"
            )
        for name in self.transports:
            if name not in TRANSPORTS:
                known = ", ".join(TRANSPORTS)
                raise ConfigError(
                    "transports", f"{name!r} is unknown; known are {known}"
                )

    def _check_limits(self) -> None:
        for name in _AMOUNTS_OR_NONE:
            if getattr(self, name) is not None:
                self._require_number(name, int, "a whole number above 0, or None")
        for name in _RATES:
            if getattr(self, name) is not None:
                self._require_number(name, float, "a number above 0, or None")
        if self.paused_timeout is not None:
            what = f"{_SECONDS_ABOVE_0}, or None"
            self._require_number("paused_timeout", float, what)
        if self.over_rate not in OVER_RATE:
            known = " or ".join(OVER_RATE)
            raise ConfigError("over_rate", f"must be {known}, not {self.over_rate!r}")

    def _check_water_marks(self) -> None:
        low, high = self.low_water_mark, self.high_water_mark
        if low <= high:
            return
        [default] = [each for each in fields(self) if each.name == "low_water_mark"]
        if low == default.default:  # the other one was given
            raise ConfigError(
                "high_water_mark",
                f"{high} is below low_water_mark, {low}: set that too, to no more",
            )
        raise ConfigError(
            "low_water_mark", f"must not be above high_water_mark, {high}, but is {low}"
        )

    def _check_jitter_and_flags(self) -> None:
        jitter: object = self.ping_jitter
        number = isinstance(jitter, (int, float)) and not isinstance(jitter, bool)
        if not number or not 0 <= self.ping_jitter <= self.ping_interval:
            raise ConfigError(
                "ping_jitter", f"must be from 0 to ping_interval, not {jitter!r}"
            )
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type == "bool" and not isinstance(value, bool):
                raise ConfigError(each.name, f"must be True or False, not {value!r}")

    def _check_objects(self) -> None:
        first = self.initial_packet
        if first is not None:
            try:
                Encoded(first)
            except (TypeError, UnicodeEncodeError) as error:
                raise ConfigError("initial_packet", str(error)) from None
        if self.cookie is not None and not isinstance(self.cookie, Cookie):
            raise ConfigError("cookie", f"must be a Cookie, not {self.cookie!r}")

    def _check_origins(self, origins: Sequence[str | re.Pattern[str]]) -> None:
        if isinstance(origins, str) or not isinstance(origins, Iterable):
            raise ConfigError("cors", f"must be a list of origins, not {origins!r}")
        read = tuple(map(_read_origin, origins))
        object.__setattr__(self, "cors", read)
        if self.cors_credentials and "*" in read:
            # Fetch standard, "CORS protocol and credentials".
            raise ConfigError(
                "cors_credentials", "name the origins: browsers refuse it with '*'"
            )

    def _require_number(self, name: str, kind: type, what: str) -> None:
        _check_number(name, getattr(self, name), kind, what)

    def _require_names(self, name: str) -> None:
        value = getattr(self, name)
        listed = isinstance(value, Iterable) and not isinstance(value, str)
        if not listed or not all(isinstance(each, str) for each in value):
            raise ConfigError(name, f"must be a list of strings, not {value!r}")
        # The caller may go on changing its list; ours stays as it was checked.
        object.__setattr__(self, name, tuple(value))

    def _require_tokens(self, name: str) -> None:
        """Refuse what no header can hold as a method or as a header's name."""
        for value in getattr(self, name):
            if not _TOKEN.fullmatch(value):
                raise ConfigError(
                    name,
                    f"{value!r} must be one name of ASCII letters, digits and"
                    " !#$%&'*+-.^_`|~",
                )


_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, 5.6.2."""
_TOKENS: Final = ("cors_methods", "cors_allowed_headers", "cors_exposed_headers")
_SECONDS_ABOVE_0: Final = "a number of seconds above 0"
_HOUR: Final = 3600
"""Seconds that an interval of the heartbeat may have at most: a client that is gone is
noticed no sooner."""
_INTERVALS: Final = ("ping_interval", "ping_timeout")
_SECONDS: Final = (
    "ping_interval",
    "ping_timeout",
    "upgrade_timeout",
    "close_timeout",
    "request_timeout",
    "keep_alive_timeout",
    "first_poll_timeout",
    "drain_timeout",
    "handler_timeout",
    "sse_max_age",
    "sse_keepalive",
    "sse_ack_timeout",
)
_AMOUNTS: Final = (
    "max_payload",
    "max_fragments",
    "max_packets",
    "max_upgrade_attempts",
    "high_water_mark",
    "low_water_mark",
    "max_buffered",
    "http_compression_threshold",
    "per_message_deflate_threshold",
    "cors_max_age",
    "sse_max_bytes",
    "sse_ring_events",
    "sse_ring_bytes",
)
_AMOUNTS_OR_NONE: Final = (
    "max_sessions",
    "max_connections",
    "max_sessions_per_address",
)
_RATES: Final = (
    "max_handshakes_per_second",
    "max_messages_per_second",
    "max_bytes_per_second",
)
_LISTS: Final = (
    "cors_methods",
    "cors_allowed_headers",
    "cors_exposed_headers",
    "trusted_proxies",
)


def _read_origin(origin: object) -> str | re.Pattern[str]:
    if isinstance(origin, re.Pattern) and isinstance(origin.pattern, bytes):
        raise ConfigError("cors", f"{origin!r} must be a pattern of text, not of bytes")
    if isinstance(origin, re.Pattern) or origin == "*":
        return origin
    if not isinstance(origin, str):
        raise ConfigError("cors", f"{origin!r} is not an origin, as text or pattern")
    try:
        return listed_origin(origin)
    except ValueError as error:
        raise ConfigError("cors", str(error)) from None


def check_interval(name: str, value: object) -> None:
    """
    Check an interval of the heartbeat.

    Args:
        name: The option's name.
        value: What was given for it.

    Raises:
        ConfigError: If it is no number of seconds, or above an hour: then it is
            probably in milliseconds, as in JavaScript.

    """
    # Of an int that no float can hold, too, this says more than that it is not finite.
    huge = isinstance(value, int) and value > _HOUR
    if huge or _check_number(name, value, float, _SECONDS_ABOVE_0) > _HOUR:
        seconds: Any = value
        # A number far above is none in milliseconds either.
        meant = seconds / 1000 if seconds <= 1000 * _HOUR else 25
        raise ConfigError(
            name,
            f"{value!r:.20} is above {_HOUR} and in seconds; did you mean {meant:g}?",
        )


def _check_number(name: str, value: Any, kind: type, what: str) -> float:
    accepted = (int, float) if kind is float else int
    # A bool is an int; and NaN is neither above nor below 0.
    if isinstance(value, bool) or not isinstance(value, accepted) or not value > 0:
        raise ConfigError(name, f"must be {what}, not {value!r}")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an int that no float can hold, and no clock
        finite = False
    if not finite:
        raise ConfigError(name, f"must be {what}, and finite")
    number: float = value
    return number
