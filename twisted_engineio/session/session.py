"""
One client's conversation, whatever carries it.

Rules of this file:

1. It knows a clock and a transport. It never sees a request, a socket or the reactor.
2. ``_finish`` is the only place where a session becomes CLOSED.
3. It has one timer, and that is its heartbeat's: ``heartbeat.py``. What holds its
   reading for a time has one besides: ``receive_queue.py``.
4. Nothing that the application calls calls the application back.

How it sends stands in ``sending.py``, how it reads in ``receiving.py``; this file is
the life that the two halves share.

A session is driven by three things: its transport (``receive``, ``receive_packet``,
``transport_ready``, ``fail``), its application (``send``, ``close``, ``abort``,
``pause_reading``) and its clock.

=================== ========== ================================ =============== ======
event               OPENING    OPEN                             CLOSING         CLOSED
=================== ========== ================================ =============== ======
open                -> OPEN    --                               --              --
message             finish     deliver                          drop            drop
ping, pong          finish     the heartbeat's: ``heartbeat``   ignore          drop
close packet        finish     finish(TRANSPORT_CLOSE)          finish          drop
open, upgrade, noop ignore     ignore                           ignore          drop
pause, resume       nothing    hold what comes in, or read on   nothing         nothing
expect client       nothing    arm *absent*                     nothing         nothing
client resumed      nothing    the heartbeat's                  nothing         nothing
limit reached       tell       tell                             tell            tell
fail                finish     finish(reason), behind messages  finish          drop
                               that wait to be read, but not
                               for the rate; -> client gone
send                raise      transport or outbox; too much:   raise           raise
                               arm *verdict*; client gone: drop
close               finish     -> CLOSING, arm *linger*         nothing         nothing
abort               finish     -> CLOSING, arm *verdict*        arm *verdict*   nothing
transport ready     nothing    flush                            flush, finish   nothing
                                                                if all has left
*silent*, *absent*  --         finish(PING_TIMEOUT)             --              --
*verdict*           --         finish(SLOW_CLIENT)              finish          --
*linger*            --         --                               finish          --
=================== ========== ================================ =============== ======
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed

from ..exceptions import CloseReason, SessionClosed
from ..protocol.handshake import Handshake
from ..protocol.packet import Outgoing, Packet, PacketType
from .heartbeat import Waiting
from .open_packet import upgrades_from
from .receive_queue import ClientPresence, Hold
from .receiving import Receiving
from .sending import Sending
from .state import SessionOwner, State
from .upgrade import Probe

if TYPE_CHECKING:
    from .interfaces import Admission, Transport
    from .revision import Revision

__all__ = ["Session", "SessionOwner", "State"]

_IN_ORDER = (CloseReason.PARSE_ERROR, CloseReason.TRANSPORT_CLOSE)
_LOST = (CloseReason.PING_TIMEOUT, CloseReason.TRANSPORT_ERROR)
"""Ends that come behind messages: always, and where those have been acknowledged."""
_PING = Packet(PacketType.PING)


class Session(Sending, Receiving):
    """
    A client that is connected, from its first request to its end.

    Attributes:
        sid: The session's id: a secret between it and its client.
        revision: The revision of the protocol that it speaks.
        handshake: The client's first request, immutable.
        server: The server that it belongs to.
        transport: What carries it now; ``transport.name`` tells which kind.
        state: Where it is in its life.
        probe: The upgrade that is going on, or ``None``.
        reason: Why it ended, or why it is closing; ``None`` before.
        data: The application's own; ``None`` at first.

    """

    __slots__ = ()

    def __init__(
        self,
        sid: str,
        handshake: Handshake,
        revision: Revision,
        transport: Transport,
        server: SessionOwner,
        admission: Admission,
    ) -> None:
        self.sid = sid
        self.revision = revision
        self.handshake = handshake
        self.server = server
        self.transport = transport
        self.state = State.OPENING
        self.probe = None
        self.reason = None
        self.data = admission.data
        self._outbox = None
        self._inbox = self._reading = None
        self._ended = None
        self._fresh = True
        self._upgrades_due = 0.0
        config = server.config
        self._heartbeat = revision.heartbeat(
            self,
            server.clock,
            admission.ping_interval or config.ping_interval,
            admission.ping_timeout or config.ping_timeout,
        )

    @property
    def intervals(self) -> tuple[float, float]:
        """Its ``ping_interval`` and ``ping_timeout``, in seconds."""
        return self._heartbeat.interval, self._heartbeat.timeout

    @property
    def protocol(self) -> int:
        """The number of the protocol's revision that it speaks."""
        return self.revision.codec.PROTOCOL

    def __repr__(self) -> str:
        return (
            f"<Session {self.sid[:6]}... {self.state.value} on {self.transport.name}>"
        )

    # The application's side.

    def close(
        self, reason: CloseReason = CloseReason.FORCED_CLOSE, *, code: int = 1000
    ) -> None:
        """
        End the session once what is queued is sent; does nothing if it is over.

        Args:
            reason: What ``session_closed`` will be told.
            code: The close code that a client on a WebSocket is told: 1000, or one of
                your own from 4000 to 4999.

        Raises:
            ValueError: If the code is another.

        """
        if code != 1000 and not 4000 <= code <= 4999:
            raise ValueError(f"code must be 1000 or 4000 to 4999, not {code!r}")
        if self.state is State.OPENING:
            self._finish(reason)
        elif (
            self.state is State.OPEN and self._heartbeat.waiting is not Waiting.VERDICT
        ):
            self.state = State.CLOSING
            self.reason = reason
            self._queue(Packet(PacketType.CLOSE, str(code)))
            # The goodbye leaves in a later turn: rule 4.
            self._heartbeat.linger(0.0, self._goodbye)

    def abort(self, reason: CloseReason = CloseReason.FORCED_CLOSE) -> None:
        """
        End the session without waiting for anything; what is queued is lost.

        Args:
            reason: What ``session_closed`` will be told, unless it is closing already.

        """
        if self.state is State.OPENING:
            self._finish(reason)
        elif self.state is not State.CLOSED:
            self.state = State.CLOSING
            self.reason = self.reason or reason
            if self._outbox is not None:
                self._outbox.clear()
            self._heartbeat.arm(Waiting.VERDICT, 0.0, self._give_up)

    def ended(self) -> Deferred[CloseReason]:
        """
        Wait until the session is over.

        Returns:
            A Deferred that fires with the reason, after the application was told; at
            once if the session is over.

        """
        if self.state is State.CLOSED:
            return succeed(self.reason or CloseReason.FORCED_CLOSE)
        waiter: Deferred[CloseReason] = Deferred()
        self._ended = [*(self._ended or ()), waiter]
        return waiter

    # The server's side.

    def open(self, *packets: Outgoing) -> None:
        """
        Open the session: to be called once, when the transport is in place.

        Args:
            packets: The packet that tells the client its id, and what follows it.

        """
        if self.state is not State.OPENING:
            return  # an observer has ended it
        self.state = State.OPEN
        # First, for a write may lead to what the timer waits for then: an end.
        self._heartbeat.begin(early=self.server.jitter())
        for packet in packets:
            self.write(packet)
        self._call(self.server.application.session_opened, self)

    def expect_client(self) -> None:
        """End the session soon unless its client comes back: it began by polling."""
        self._heartbeat.expect_client(self.server.config.first_poll_timeout)

    def may_try_upgrade(self) -> bool:
        """Count an attempt to upgrade; return False if it is one too many."""
        now, interval = self.server.clock.seconds(), self._heartbeat.interval
        share = interval / self.server.config.max_upgrade_attempts
        due = max(self._upgrades_due, now) + share
        if due > now + interval + share / 100:  # what rounding makes of the sum
            return False
        self._upgrades_due = due
        return True

    def upgrade(self, candidate: Transport) -> bool:
        """
        Let another transport try to take over.

        Args:
            candidate: The new transport, connected.

        Returns:
            False if the session takes none: one is trying already, it has moved, it is
            over, or its client has yet to see that the last one has failed.

        """
        server = self.server
        if self.state is not State.OPEN or self.is_over() or self.probe is not None:
            return False
        if candidate.name not in upgrades_from(self.transport.name, server.config):
            return False
        if not self.transport.may_move:
            return False
        self.probe = Probe(self, candidate, server.clock, server.config)
        return True

    def carrier(self, name: str) -> Transport | None:
        """
        Find its transport of a kind: the one that it is on, or the candidate.

        Args:
            name: The kind.

        """
        if self.transport.name == name:
            return self.transport
        probe = self.probe
        if probe is not None and probe.candidate.name == name:
            return probe.candidate
        return None

    def client_resumed(self) -> None:
        """Hear that its client has a stream again, and can answer a ping."""
        self._heartbeat.client_resumed()

    # The transport's side.

    def transport_ready(self) -> None:
        """Send what is queued; then end, or let the client go, if that is due."""
        super().transport_ready()
        if self._outbox or self.state is State.CLOSED or self.transport.leaving:
            return
        if self.state is State.CLOSING:
            self._give_up()
        elif self.transport.writable and self.probe and self.probe.lets_go:
            self.transport.let_go()

    def control_frames(self, count: int) -> None:
        """
        Count control frames of a WebSocket; only a limited session does.

        Args:
            count: How many have come.

        """

    def limit_reached(self, limit: str) -> None:
        """
        Hear that the client went beyond one of the operator's limits.

        Args:
            limit: The option's name in ``Config``.

        """
        self.server.limit_reached(limit, self)

    def fail(self, reason: CloseReason) -> None:
        """
        End the session: its transport is lost, or read what makes no sense.

        Args:
            reason: Why.

        """
        inbox = self._inbox
        if inbox and not inbox.holds(Hold.RATE) and self._comes_behind(reason):
            # What came before it counts: let the application come to it. But what was
            # too much could keep a client that is gone for as long as it likes.
            inbox.append(reason)
            self._client_gone(reason)
        else:
            self._finish(reason)

    def _comes_behind(self, reason: CloseReason) -> bool:
        """Return whether messages that wait are delivered before such an end."""
        return reason in _IN_ORDER or (reason in _LOST and self.transport.reads_ahead)

    # The probe's side.

    def swap(self, candidate: Transport) -> None:
        """
        Move to another transport, and send what is queued over it.

        Args:
            candidate: The transport that the client has chosen.

        """
        retired, self.transport = self.transport, candidate
        retired.retire()
        candidate.receiver = self
        candidate.take_over(pinged=self._owes_pong())
        self.probe = None
        if self._inbox is not None:
            candidate.pause()
        self.transport_ready()

    def _owes_pong(self) -> bool:
        """Tell whether the client has yet to answer a ping that has left."""
        return self._heartbeat.owes_pong and _PING not in (self._outbox or ())

    def probe_failed(self) -> None:
        """Go on as before: the candidate is gone."""
        self.probe = None
        if self.state is not State.CLOSED:
            self.transport.take_back()

    # Time.

    def expired(self) -> bool:
        """
        Tell whether it is over by now, though its timer has not fired yet.

        Who asks has a request of its client: so that has come back.
        """
        self._heartbeat.check()
        self._heartbeat.client_came()
        return self.is_over()

    def _goodbye(self) -> None:
        self._heartbeat.linger(self.server.config.close_timeout, self._unread)
        self.transport_ready()

    def _give_up(self) -> None:
        self._finish(CloseReason.FORCED_CLOSE)

    def _unread(self) -> None:
        """End: the client has not read within ``close_timeout``, and gets no more."""
        self._finish(CloseReason.FORCED_CLOSE, CloseReason.SLOW_CLIENT)

    def _too_slow(self) -> None:
        self.limit_reached("max_buffered")
        self._finish(CloseReason.SLOW_CLIENT)

    def _paused_too_long(self) -> None:
        inbox = self._inbox
        assert inbox is not None  # its timer it was
        self.limit_reached("paused_timeout")
        self.server.log.warn(
            "session {sid}... ends: the application took no message of it for"
            " {seconds:g} s (paused_timeout)",
            sid=self.sid[:6],
            seconds=self.server.config.paused_timeout,
        )
        here = inbox.client is ClientPresence.HERE
        self._finish(CloseReason.APPLICATION_ERROR if here else inbox.end)

    def _beaten(self) -> None:
        """Have a heart that has beaten; for a session that is watched."""

    # The end.

    def _finish(self, reason: CloseReason, leave: CloseReason | None = None) -> None:
        """
        Close the session: the only way, whatever happened; nothing if it is over.

        Args:
            reason: Why, unless close() or abort() has said so before.
            leave: What the transport is told instead.

        """
        if self.state is State.CLOSED:
            return
        was_open = self.state is not State.OPENING
        self.state = State.CLOSED
        # What close() or abort() was told stays the reason, however the goodbye went.
        self.reason = reason = self.reason or reason
        self._heartbeat.stop()
        server = self.server
        inbox, self._inbox = self._inbox, None
        if inbox is not None or self._reading is not None:
            server.handlers.end(self._handler_late)
        if inbox is not None:
            inbox.cancel()
            if inbox.handler is not None:
                server.limit_handler(inbox.handler)
        probe, self.probe = self.probe, None
        if probe is not None:
            probe.cancel()
        outbox, self._outbox = self._outbox, None
        self.transport.abandon(leave or reason)
        if outbox is not None:
            outbox.fail(SessionClosed(self.sid, reason))
        if was_open:
            server.session_ended(self, reason)
        waiters, self._ended = self._ended, None
        for waiter in waiters or ():
            waiter.callback(reason)
