"""
A client's session, independent of its transport.

Rules of this file:

1. It knows a clock and a transport. It never sees a request, a socket or the reactor.
2. ``_finish`` is the only place where a session becomes CLOSED.
3. It has one timer, owned by its heartbeat: ``heartbeat.py``. While its reading is
   paused for a limited time there is one more: ``receive_queue.py``.
4. No method that the application calls calls the application back.

``sending.py`` has the methods that send, ``receiving.py`` those that receive; this file
has the lifecycle that both share.

A session is driven by three things: its transport (``receive``, ``receive_packet``,
``transport_ready``, ``fail``), its application (``send``, ``close``, ``abort``,
``pause_reading``) and its clock. Events in *italics* are those of its timer.

=================== ========== ================================ =============== ======
event               OPENING    OPEN                             CLOSING         CLOSED
=================== ========== ================================ =============== ======
open                -> OPEN    --                               --              --
message             finish     deliver                          drop            drop
ping, pong          finish     handled by ``heartbeat``         ignore          drop
close packet        finish     finish(TRANSPORT_CLOSE)          finish          drop
open, upgrade, noop ignore     ignore                           ignore          drop
pause, resume       nothing    queue received items, or         nothing         nothing
                               deliver them
expect client       nothing    arm *absent*                     nothing         nothing
client resumed      nothing    handled by ``heartbeat``         nothing         nothing
limit reached       report     report                           report          report
fail                finish     finish(reason), after queued     finish          drop
                               messages unless a rate limit
                               holds them; -> client gone
send                raise      transport or queue; over the     raise           raise
                               limit: arm *pending close*;
                               client gone: drop
close               finish     -> CLOSING, arm *linger*         nothing         nothing
abort               finish     -> CLOSING,                      arm             nothing
                               arm *pending close*              *pending close*
transport ready     nothing    flush                            flush, finish   nothing
                                                                if all is sent
*time out, absent*  --         finish(PING_TIMEOUT)             --              --
*pending close*     --         finish(SLOW_CLIENT)              finish          --
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
from .receive_queue import ClientPresence, PauseReason
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
"""Reasons that are handled after queued messages: always, and where the transport has
acknowledged those messages."""
_PING = Packet(PacketType.PING)


class Session(Sending, Receiving):
    """
    A connected client, from its handshake until its session is closed.

    Driven by its transport, its application and its clock.

    Attributes:
        sid: The session's id: a secret between the server and the client.
        revision: The client's protocol revision.
        handshake: The client's first request, immutable.
        server: The server that owns it.
        transport: Its current transport; ``transport.name`` is its kind.
        state: The state of its lifecycle.
        probe: The upgrade in progress, or ``None``.
        reason: Why it ended, or why it is closing; ``None`` before.
        data: Free for the application; ``None`` at first.

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
        """The number of the client's protocol revision."""
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
        Close the session after all queued data is sent; does nothing if it is over.

        Args:
            reason: The reason that is passed to ``session_closed``.
            code: The close code that is sent to a client on a WebSocket: 1000, or an
                application's code from 4000 to 4999.

        Raises:
            ValueError: If the code is another.

        """
        if code != 1000 and not 4000 <= code <= 4999:
            raise ValueError(f"code must be 1000 or 4000 to 4999, not {code!r}")
        if self.state is State.OPENING:
            self._finish(reason)
        elif (
            self.state is State.OPEN
            and self._heartbeat.waiting is not Waiting.PENDING_CLOSE
        ):
            self.state = State.CLOSING
            self.reason = reason
            self._queue(Packet(PacketType.CLOSE, str(code)))
            # In a later turn, as it may call the application: rule 4.
            self._heartbeat.linger(0.0, self._start_closing)

    def abort(self, reason: CloseReason = CloseReason.FORCED_CLOSE) -> None:
        """
        End the session without sending queued data, which is lost.

        Args:
            reason: The reason that is passed to ``session_closed``, unless it is
                closing already.

        """
        if self.state is State.OPENING:
            self._finish(reason)
        elif self.state is not State.CLOSED:
            self.state = State.CLOSING
            self.reason = self.reason or reason
            if self._outbox is not None:
                self._outbox.clear()
            self._heartbeat.arm(Waiting.PENDING_CLOSE, 0.0, self._force_close)

    def ended(self) -> Deferred[CloseReason]:
        """
        Return a Deferred that fires when the session is over.

        Returns:
            A Deferred that fires with the reason, after ``session_closed`` was called;
            at once if the session is over.

        """
        if self.state is State.CLOSED:
            return succeed(self.reason or CloseReason.FORCED_CLOSE)
        waiter: Deferred[CloseReason] = Deferred()
        self._ended = [*(self._ended or ()), waiter]
        return waiter

    # The server's side.

    def open(self, *packets: Outgoing) -> None:
        """
        Open the session; called once, when the transport is set up.

        Args:
            packets: The open packet, and the items that follow it.

        """
        if self.state is not State.OPENING:
            return  # ended by an observer
        self.state = State.OPEN
        # Before the writes: one may exceed max_buffered and arm the timer for a close.
        self._heartbeat.begin(early=self.server.jitter())
        for packet in packets:
            self.write(packet)
        self._call(self.server.application.session_opened, self)

    def expect_client(self) -> None:
        """End the session unless its client, which polls, sends a request soon."""
        self._heartbeat.expect_client(self.server.config.first_poll_timeout)

    def may_try_upgrade(self) -> bool:
        """Count an upgrade attempt; return False if it exceeds the limit."""
        now, interval = self.server.clock.seconds(), self._heartbeat.interval
        share = interval / self.server.config.max_upgrade_attempts
        due = max(self._upgrades_due, now) + share
        if due > now + interval + share / 100:  # tolerates rounding of the sum
            return False
        self._upgrades_due = due
        return True

    def upgrade(self, candidate: Transport) -> bool:
        """
        Start an upgrade to another transport.

        Args:
            candidate: The new transport, connected.

        Returns:
            False if it is rejected: an upgrade is in progress or completed, the session
            is over, or its client has not noticed yet that the last upgrade failed.

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
        Return the session's transport of a kind: the current one, or the candidate.

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
        """Called when its client has reconnected its stream, and can answer a ping."""
        self._heartbeat.client_resumed()

    # The transport's side.

    def transport_ready(self) -> None:
        """Send the queue; then close, or prepare an upgrade, if one is in progress."""
        super().transport_ready()
        if self._outbox or self.state is State.CLOSED or self.transport.close_pending:
            return
        if self.state is State.CLOSING:
            self._force_close()
        elif self.transport.writable and self.probe and self.probe.awaits_upgrade:
            self.transport.prepare_upgrade()

    def control_frames(self, count: int) -> None:
        """
        Count control frames of a WebSocket; overridden by rate-limited sessions.

        Args:
            count: The number of frames.

        """

    def limit_reached(self, limit: str) -> None:
        """
        Report that the client exceeded one of the operator's limits.

        Args:
            limit: The option's name in ``Config``.

        """
        self.server.limit_reached(limit, self)

    def fail(self, reason: CloseReason) -> None:
        """
        End the session: its transport is lost, or received invalid data.

        Args:
            reason: The reason.

        """
        inbox = self._inbox
        if (
            inbox
            and not inbox.is_paused_by(PauseReason.RATE)
            and self._follows_messages(reason)
        ):
            # Messages received before are still delivered. Not those over a rate limit:
            # they would keep the session of a lost client for as long as it chose.
            inbox.append(reason)
            self._client_gone(reason)
        else:
            self._finish(reason)

    def _follows_messages(self, reason: CloseReason) -> bool:
        """Return whether queued messages are delivered before this reason counts."""
        return reason in _IN_ORDER or (reason in _LOST and self.transport.reads_ahead)

    # The probe's side.

    def swap(self, candidate: Transport) -> None:
        """
        Complete an upgrade, and send the queue over the new transport.

        Args:
            candidate: The new transport.

        """
        retired, self.transport = self.transport, candidate
        retired.retire()
        candidate.receiver = self
        candidate.take_over(pinged=self._pong_pending())
        self.probe = None
        if self._inbox is not None:
            candidate.pause()
        self.transport_ready()

    def _pong_pending(self) -> bool:
        """Return whether a ping was sent that the client has not answered."""
        return self._heartbeat.pong_pending and _PING not in (self._outbox or ())

    def probe_failed(self) -> None:
        """Continue on the current transport: the upgrade has failed."""
        self.probe = None
        if self.state is not State.CLOSED:
            self.transport.cancel_upgrade()

    # Time.

    def expired(self) -> bool:
        """
        Return whether it is over, even if its timer has not fired yet.

        Called for a request of its client, which has therefore returned.
        """
        self._heartbeat.check()
        self._heartbeat.client_returned()
        return self.is_over()

    def _start_closing(self) -> None:
        self._heartbeat.linger(self.server.config.close_timeout, self._close_timed_out)
        self.transport_ready()

    def _force_close(self) -> None:
        self._finish(CloseReason.FORCED_CLOSE)

    def _close_timed_out(self) -> None:
        """End: the client has not read the queue within ``close_timeout``."""
        self._finish(CloseReason.FORCED_CLOSE, CloseReason.SLOW_CLIENT)

    def _too_slow(self) -> None:
        self.limit_reached("max_buffered")
        self._finish(CloseReason.SLOW_CLIENT)

    def _paused_too_long(self) -> None:
        inbox = self._inbox
        assert inbox is not None  # it owns the timer that called this
        self.limit_reached("paused_timeout")
        self.server.log.warn(
            "session {sid}... ends: its application accepted no message for"
            " {seconds:g} s (paused_timeout)",
            sid=self.sid[:6],
            seconds=self.server.config.paused_timeout,
        )
        here = inbox.client is ClientPresence.HERE
        self._finish(CloseReason.APPLICATION_ERROR if here else inbox.end)

    def _heartbeat_received(self) -> None:
        """Do nothing; overridden by observed sessions."""

    # The end.

    def _finish(self, reason: CloseReason, leave: CloseReason | None = None) -> None:
        """
        Close the session: the only way to do so; does nothing if it is closed.

        Args:
            reason: The reason, unless close() or abort() has set one before.
            leave: A different reason for the transport.

        """
        if self.state is State.CLOSED:
            return
        was_open = self.state is not State.OPENING
        # First: the steps below may call back into the session.
        self.state = State.CLOSED
        # The reason of close() or abort() is kept, even if the client did not read it.
        self.reason = reason = self.reason or reason
        self._heartbeat.stop()
        server = self.server
        inbox, self._inbox = self._inbox, None
        if inbox is not None or self._reading is not None:
            server.handlers.end(self._handler_late)
        if inbox is not None:
            inbox.cancel()
            if inbox.handler is not None:
                server.cancel_after_timeout(inbox.handler)
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
