"""
``Config``: the server's options, checked, in one frozen object.

Times are in seconds and sizes in bytes; the milliseconds of the protocol appear in
``open_packet.py`` only. Each option is defined here once, with its text: ``option.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

from ..cookie import Cookie
from .checks import check_known, check_options
from .option import (
    Kind,
    amount,
    document,
    flag,
    interval,
    names,
    option,
    options_of,
    rate,
    seconds,
    size,
    tokens,
)

__all__ = ["OPTIONS", "Config"]

Origins: TypeAlias = Sequence[str | re.Pattern[str]] | Callable[[str], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """
    The server's options; where engine.io has the same one, the default is its default.

    Raises:
        ConfigError: If a name is unknown (the nearest known one is in the message) or
            a value cannot work.

    """

    ping_interval: float = interval(
        25.0,
        "Time from a pong of the client to the next ping.",
        "Like engine.io's ``pingInterval``.",
        group="Heartbeat",
    )
    ping_timeout: float = interval(
        20.0,
        "Time limit for a client to answer a ping; then its session ends.",
        "Like engine.io's ``pingTimeout``.",
    )
    ping_jitter: float = seconds(
        0.0,
        "Maximum random time by which a session's first ping is sent early.",
        "Spreads the pings of clients that reconnected in the same second.",
        kind=Kind.JITTER,
    )
    upgrade_timeout: float = seconds(
        10.0,
        "Time limit for a client to complete an upgrade that it started.",
        "Like engine.io's ``upgradeTimeout``.",
        group="Time limits",
    )
    first_poll_timeout: float = seconds(
        10.0,
        "Time limit for a new polling client to send a request with its session id;"
        " then the session ends.",
        "Without it, an abandoned session is kept until its ping is overdue: 45 s.",
    )
    close_timeout: float = seconds(
        30.0,
        "Time that unsent data of a closed session is kept for the client, and time"
        " limit for a connection to close; then it is aborted.",
        "Same as ``closeTimeout`` of engine.io's polling transport.",
    )
    drain_timeout: float = seconds(
        5.0,
        "Time limit for a server that is stopped to close its sessions; then the"
        " connections that are left are aborted.",
        "The closes are spread over it, so that not all clients reconnect in the same"
        " second. systemd kills a process after 90 seconds, Docker after 10.",
    )
    request_timeout: float = seconds(
        60.0,
        "Time limit for a client to send a request, headers and body, and for a client"
        " that reads nothing of an answer; then the connection is closed.",
        "Needs ``EngineIOSite``, or for requests ``protect``. Like nginx's"
        " ``client_header_timeout``, ``client_body_timeout`` and ``send_timeout``.",
    )
    keep_alive_timeout: float = seconds(
        75.0,
        "Time that an idle connection is kept open for the next request. Set it longer"
        " than your proxy keeps connections to this server.",
        "The proxy must close first: otherwise it may send a request on a connection"
        " that is being closed, and answer 502. nginx and AWS keep such connections for"
        " 60 seconds. Needs ``EngineIOSite``. Like nginx's ``keepalive_timeout``.",
    )
    handler_timeout: float = seconds(
        30.0,
        "Time limit for an async method of the application after its client has left;"
        " then its Deferred is cancelled.",
        "A method that waits for ever would keep its session in memory.",
    )
    paused_timeout: float | None = seconds(
        300.0,
        "Time limit for an application to accept the next message of a session that"
        " has more than 64 KiB unread or whose client has left; then the session ends"
        ' with "application error".',
        "Each accepted message restarts the time. Like nginx's ``proxy_read_timeout``.",
        none="no limit",
    )
    max_sessions: int | None = amount(
        100_000,
        "Maximum number of sessions. Further handshakes are refused with 503.",
        "100,000 idle sessions take about 1 GB: a flood must not exhaust the memory.",
        unit="sessions",
        none="no limit",
        group="Limits of the server",
    )
    max_connections: int | None = amount(
        None,
        "Maximum number of connections, WebSockets included. Further ones are closed.",
        "A polling client holds two. Each takes memory and a descriptor before it has"
        " a session. No limit if ``max_sessions`` has none. Needs ``EngineIOSite``. As"
        " nginx's worker_connections.",
        unit="connections",
        none="twice ``max_sessions``, plus 1000",
    )
    max_sessions_per_address: int | None = amount(
        None,
        "Maximum number of sessions from one client address, or one IPv6 /64 network."
        " Further handshakes are refused with 429.",
        "An office shares one address, and so do all clients behind a proxy that is not"
        " in ``trusted_proxies``. A household has a /64. Like nginx's ``limit_conn``.",
        unit="sessions",
        none="no limit",
    )
    max_handshakes_per_second: float | None = rate(
        "Maximum number of new sessions per second, and at once. Further handshakes are"
        " refused with 503.",
        "After a restart all clients reconnect at once. Like nginx's ``limit_req``.",
        unit="sessions per second",
    )
    max_payload: int = size(
        1_000_000,
        "Maximum size of a POST body or WebSocket message from a client, including a"
        " text message's type digit. A larger POST is refused with 413; a larger"
        " WebSocket message ends the session.",
        "The server holds it in memory. Like engine.io's ``maxHttpBufferSize``.",
        group="Limits of a session",
    )
    max_fragments: int = amount(
        16_384,
        "Maximum number of WebSocket frames in a message; more end the session.",
        "Empty frames take time but never reach ``max_payload``. ws has this limit.",
        unit="frames",
    )
    max_packets: int = amount(
        65_536,
        "Maximum number of packets in a POST; more end the session.",
        "All of them are handled in one reactor turn, in which no other client is"
        " served. python-engineio's limit of 16 lost messages of clients that were"
        " only fast.",
        unit="packets",
    )
    max_upgrade_attempts: int = amount(
        10,
        "Maximum number of upgrades that a session may try in one ``ping_interval``."
        " Further attempts are refused with 429.",
        "Each costs as much as a handshake. A client makes one, and another one each"
        " time its network interrupts it.",
        unit="attempts",
    )
    max_messages_per_second: float | None = rate(
        "Maximum number of packets that a session may send per second, and at once."
        " Pings and pongs of WebSocket itself count. See ``over_rate``.",
        "What is too many depends on the application.",
        unit="packets per second",
    )
    max_bytes_per_second: float | None = rate(
        "Maximum number of bytes that a session may send per second, and at once. A"
        " larger message uses up the following seconds. See ``over_rate``.",
        "What is too many depends on the application.",
        unit="bytes per second",
    )
    over_rate: str = option(
        "pause",
        "Action for a session that exceeds ``max_messages_per_second`` or"
        " ``max_bytes_per_second``. ``pause``: read it more slowly, and TCP slows its"
        ' client down. ``close``: end it with "rate exceeded".',
        "A paused session loses nothing, unless its client leaves or its pong is read"
        " too late: then it ends, and its unread data is dropped.",
        value="ACTION",
    )
    high_water_mark: int = size(
        65_536,
        "Size of a session's unsent data above which ``Session.send`` returns False.",
        "Twisted's own transports pause a producer at this size.",
        group="Unsent data",
    )
    low_water_mark: int = size(
        16_384,
        "Size of a session's unsent data at which ``Session.drained`` fires.",
        "A socket with more unsent data than this counts as full: further packets are"
        " queued. A close packet after more data than this is sent separately from it.",
    )
    max_buffered: int = size(
        16_777_216,
        "Size of a session's unsent data above which the session ends with"
        ' "slow client".',
        "One client that reads slowly must not take the memory of all others. The queue"
        " and the data that waits for a full socket count. engine.io has no limit.",
    )
    transports: Sequence[str] = names(
        ("polling", "websocket"),
        "Transports that are on: ``polling``, ``websocket``, ``sse``.",
        "No other Engine.IO server has sse.",
        value="NAMES",
        group="Protocol",
    )
    allow_upgrades: bool = flag(
        True,
        "Allow a polling session to upgrade to another transport.",
        "Like engine.io's ``allowUpgrades``.",
        flag="no-upgrades",
        inverse="Keep every session on the transport that it started with.",
    )
    allow_eio3: bool = flag(
        False,
        "Serve clients of protocol revision 3 (Socket.IO 2) too.",
        "Like engine.io's ``allowEIO3``.",
    )
    jsonp: bool = flag(
        False,
        "Serve JSONP to polling clients, for browsers without CORS. Any page that a"
        " user opens can then read the answers.",
        "Off, unlike in engine.io: a script is loaded without an Origin header, so that"
        " a page on the internet could read a server in an intranet.",
    )
    initial_packet: str | bytes | None = option(
        None,
        "Message that is sent with every open packet.",
        "Like engine.io's ``initialPacket``.",
        none="none",
        flag=None,
    )
    sse_max_bytes: int = size(
        16_777_216,
        "Size at which an event stream ends; its client reconnects and resumes it.",
        "Some clients keep a whole response in memory. SockJS ends a stream after 128"
        " KiB; here each new one costs about a second.",
        group="Server-sent events",
    )
    sse_max_age: float = seconds(
        1800.0,
        "Age at which an event stream ends; its client reconnects and resumes it.",
        "A load balancer would cut it: Google's cut any request after an hour.",
    )
    sse_keepalive: float = seconds(
        15.0,
        "Time without events after which a comment is sent on an event stream.",
        "The HTML standard recommends 15 seconds. nginx closes a silent stream after"
        " 60: proxy_read_timeout.",
    )
    sse_ring_events: int = amount(
        256,
        "Maximum number of unacknowledged events of an event stream; when it is"
        " reached, sending waits for the client.",
        "Each session keeps them in memory, to send them again.",
        unit="events",
    )
    sse_ring_bytes: int = size(
        1_048_576,
        "Maximum size of the unacknowledged events of an event stream; when it is"
        " reached, sending waits for the client.",
        "256 events of 4 KiB.",
    )
    sse_ack_timeout: float = seconds(
        5.0,
        "Time limit for a client to acknowledge events when ``sse_ring_events`` or"
        ' ``sse_ring_bytes`` is reached; then the session ends with "replay overflow".',
        "Like engine.io's ``pingTimeout``, until revision 4.",
    )
    http_compression: bool = flag(
        True,
        "Compress answers to polling requests if the client accepts it.",
        "Like engine.io's ``httpCompression``.",
        flag="no-http-compression",
        inverse="Send answers to polling requests uncompressed.",
        group="Compression",
    )
    http_compression_threshold: int = size(
        1024,
        "Minimum size of an answer to a polling request that is compressed.",
        "Like engine.io's ``httpCompression.threshold``.",
    )
    per_message_deflate: bool = flag(
        False,
        "Compress WebSocket messages if the client accepts it. Takes about 300 KB per"
        " connection while it compresses.",
        "Small messages grow. Like engine.io's ``perMessageDeflate``.",
    )
    per_message_deflate_threshold: int = size(
        1024,
        "Minimum size of a WebSocket message that is compressed.",
        "Like engine.io's ``perMessageDeflate.threshold``.",
    )
    per_message_deflate_takeover: bool = flag(
        False,
        "Keep the compression state of a connection between messages: messages get"
        " smaller, but each connection takes about 300 KB as long as it is open.",
        "If off, clients are told not to keep theirs either (RFC 7692, 7.1.1).",
    )
    trusted_proxies: Sequence[str] = names(
        (),
        "Address or network of a proxy whose X-Forwarded-For and similar headers are"
        " trusted.",
        "Any client can send such a header. Like nginx's ``set_real_ip_from``.",
        flag="trusted-proxy",
        value="NETWORK",
        repeatable=True,
        group="Proxies and load balancers",
    )
    cookie: Cookie | None = option(  # noqa: RUF009  it makes a field
        None,
        "Name of a cookie that the answer to a handshake sets to the session id, for"
        " load balancers that route by it.",
        "In ``Config`` it is a ``Cookie``. Like engine.io's ``cookie``.",
        none="none",
        value="NAME",
    )
    cors: Origins = option(  # noqa: RUF009  it makes a field
        (),
        "Foreign origin that may use the server: ``scheme://host[:port]``,"
        " ``file://``, ``null``, or ``*`` for any. Pages of its own origin always may.",
        "``Config`` also takes patterns, or a function of the origin. Any page can make"
        " its origin null, in a sandboxed frame. Like engine.io's ``cors.origin``.",
        value="ORIGIN",
        repeatable=True,
        group="Cross-origin requests",
    )
    cors_credentials: bool = flag(
        False,
        "Allow the origins of ``cors`` to send cookies. Not together with ``*``.",
        "Like engine.io's ``cors.credentials``.",
    )
    cors_methods: Sequence[str] = tokens(
        ("GET", "POST"),
        "Methods that the answer to a preflight allows.",
        "Like engine.io's ``cors.methods``.",
    )
    cors_allowed_headers: Sequence[str] = tokens(
        ("Content-Type",),
        "Request headers that the answer to a preflight allows.",
        "Like engine.io's ``cors.allowedHeaders``.",
    )
    cors_exposed_headers: Sequence[str] = tokens(
        (),
        "Answer headers that foreign pages may read.",
        "Like engine.io's ``cors.exposedHeaders``.",
    )
    cors_max_age: int = amount(
        600,
        "Time for which a browser may cache the answer to a preflight.",
        "Safari caches it for ten minutes at most. Like engine.io's ``cors.maxAge``.",
        unit="seconds",
    )
    cors_preflight_continue: bool = flag(
        False,
        "Pass a preflight on with its headers set, instead of answering it: for a"
        " resource that wraps this one and answers it.",
        "Like engine.io's ``cors.preflightContinue``.",
        flag=None,
    )

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Refuse unknown names before the dataclass does, with a better message."""
        check_known(options, OPTIONS)
        return object.__new__(cls)

    def __post_init__(self) -> None:
        """Check every value, so that a mistake shows before anything listens."""
        given = {name: getattr(self, name) for name in OPTIONS}
        for name, value in check_options(given, OPTIONS).items():
            object.__setattr__(self, name, value)


OPTIONS: Final = options_of(Config)
"""The options, by name, in groups."""
document(Config, OPTIONS)
