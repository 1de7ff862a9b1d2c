"""WebSockets that end while their client reads nothing: closed after close_timeout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from peers import CLOSE, TEXT, HttpPeer, frame, upgrade_request
from pytest_twisted import ensureDeferred
from stages import Recorder, Serve, Stage, turn, until
from tls import secure
from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint

from twisted_engineio import Config, Session

pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")

TIMEOUT = 0.2
BRIEF = Config(close_timeout=TIMEOUT)
MUCH = 8_000_000
"""Bytes: more than two sockets hold."""


class Flood(Recorder):
    """Sends a client more than its socket takes."""

    def session_opened(self, session: Session) -> None:
        """Send at once."""
        super().session_opened(session)
        session.send(b"x" * MUCH)


async def listening(kind: str, serve: Serve, certificate: Path, tmp: Path) -> Stage:
    """Start a server on a kind of socket."""
    if kind == "tls":
        return await secure(serve, certificate, True, application=Flood(), config=BRIEF)
    if kind == "unix":
        path = tmp / "s"
        stage = await serve(Flood(), BRIEF, endpoint=f"unix:{path}:lockfile=0")
        stage.client = UNIXClientEndpoint(reactor, str(path))
        return stage
    return await serve(Flood(), BRIEF)


async def stuck(stage: Stage) -> HttpPeer:
    """Open a session over a WebSocket, and read no more than its handshake."""
    known = len(stage.application.opened)
    peer = await stage.peer()
    peer.write(upgrade_request())
    assert (await peer.answer()).status == 101
    peer.transport.pauseProducing()
    await until(lambda: len(stage.application.opened) > known)
    session = stage.application.opened[-1]
    await until(lambda: not session.transport.writable)
    assert session.transport.buffered > 0
    return peer


def send(data: bytes) -> Callable[[HttpPeer, Session], None]:
    """End a WebSocket by what the client sends."""
    return lambda peer, session: peer.write(data)


ENDS = {
    "a close frame": send(frame(CLOSE, b"\x03\xe8")),
    "another close frame": send(frame(CLOSE, b"\x0f\xa1bye")),
    "a close packet": send(frame(TEXT, b"1")),
    "two broken rules": send(frame(11) + frame(3, b"x")),
    "a frame without a mask": send(frame(TEXT, b"4x", masked=False)),
    "a message that is too large": send(frame(TEXT, b"4", length=2**30)),
    "the application": lambda peer, session: session.close(),
}


@pytest.mark.parametrize("kind", ["tcp", "tls", "unix"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@ensureDeferred
async def test_a_client_that_reads_nothing_is_cut_off(
    serve: Serve,
    certificate: Path,
    tmp_path: Path,
    kind: str,
    end: Callable[[HttpPeer, Session], None],
) -> None:
    """However it ends, on every kind of socket."""
    stage = await listening(kind, serve, certificate, tmp_path)
    peer = await stuck(stage)
    (session,) = stage.application.opened
    end(peer, session)
    began = reactor.seconds()
    await until(lambda: not stage.server.connected)
    assert reactor.seconds() - began < TIMEOUT + 3.0  # what a busy machine may add
    assert stage.server.sessions == {}
    peer.drop()


@ensureDeferred
async def test_twenty_at_once_are_cut_off(serve: Serve) -> None:
    """By one timer for all of them, each with its own time."""
    stage = await serve(Flood(), BRIEF)
    stage.narrow()
    peers = [await stuck(stage) for _ in range(20)]
    for peer in peers:
        peer.write(frame(CLOSE, b"\x03\xe8"))
    await until(lambda: not stage.server.sessions)
    assert stage.server.connected == 20
    await until(lambda: not stage.server.connected)
    for peer in peers:
        peer.drop()


@pytest.mark.parametrize("ended_before", [False, True])
@ensureDeferred
async def test_a_server_that_stops_leaves_no_connection(
    serve: Serve, ended_before: bool
) -> None:
    """Also none whose session had ended, or that reads nothing of its end."""
    stage = await serve(Flood())
    peer = await stuck(stage)
    if ended_before:
        peer.write(frame(CLOSE, b"\x03\xe8"))
        await until(lambda: not stage.server.sessions)
    assert stage.server.connected == 1
    await stage.server.stop(timeout=0.2)
    assert stage.server.connected == 0
    peer.drop()
    await turn()
    assert stage.application.closed
