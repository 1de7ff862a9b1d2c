"""twistd's end, seen from outside: signals, clients, exit status and log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_twisted
from peers import BINARY, CLOSE, POLLING, TEXT, HttpPeer, frame, upgrade_request
from programs import default_signals
from pytest_twisted import ensureDeferred
from stages import Stage, sockets, turn, until
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint

HERE = Path(__file__).parent
LISTEN = ("--listen", "tcp:0:interface=127.0.0.1")
SENDER = ("--app", "drained_app:Sender")


class Twistd(Stage):
    """``twistd -n engineio`` in a process of its own."""

    def __init__(self, log: Path, options: tuple[str, ...]) -> None:
        self._log = log
        self._clients = []
        command = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile="]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "engineio", *LISTEN, *options],
                cwd=log.parent,
                env={**os.environ, "PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=default_signals,
            )

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self._log.read_text("utf-8", "replace")

    async def start(self) -> None:
        """Wait until it serves: it listens before it handles signals."""
        await until(lambda: self._port() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log
        self.client = TCP4ClientEndpoint(reactor, "127.0.0.1", self._port())
        peer = await self.peer()
        assert (await peer.ask("/nothing")).status == 404
        peer.leave()

    def _port(self) -> int:
        found = re.search(r"EngineIOSite starting on (\d+)", self.log)
        return int(found[1]) if found else 0

    @property
    def host(self) -> str:
        """Where HTTP finds it."""
        return f"http://localhost:{self._port()}"

    async def ends(self) -> int:
        """Wait for its end, sooner than a drain of a minute: its status."""
        await until(lambda: self.process.poll() is not None)
        assert "Unhandled" not in self.log, self.log
        assert "Traceback" not in self.log, self.log
        assert "Server Shut Down." in self.log, self.log
        return int(self.process.returncode)

    async def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for client in self._clients:
            if not client.is_lost:
                client.drop()
        await until(lambda: all(each.is_lost for each in self._clients))


@pytest_twisted.async_yield_fixture
async def twistd(clean_reactor: None, tmp_path: Path) -> AsyncIterator[Callable]:
    """Start twistd with options."""
    started: list[Twistd] = []
    before = sockets()

    async def start(*options: str) -> Twistd:
        started.append(Twistd(tmp_path / f"twistd-{len(started)}.log", options))
        await started[-1].start()
        return started[-1]

    yield start
    for each in started:
        await each.close()
    await until(lambda: sockets() <= before)


async def raw(stage: Stage) -> HttpPeer:
    """Open a WebSocket session whose frames are read when the test says."""
    peer = await stage.peer()
    peer.write(upgrade_request())
    assert (await peer.answer()).status == 101
    assert (await peer.frame())[0] == TEXT
    return peer


@ensureDeferred
async def test_sigterm_without_sessions_is_status_0(twistd: Callable) -> None:
    """Nobody is waited for."""
    stage = await twistd("--drain-timeout", "60")
    stage.process.send_signal(signal.SIGTERM)
    assert await stage.ends() == 0


@ensureDeferred
async def test_sigterm_lets_everybody_go_in_good_order(twistd: Callable) -> None:
    """A poll that waits, a WebSocket and one that comes too late; then status 0."""
    stage = await twistd("--drain-timeout", "60")
    getter, target = await stage.polling()
    waiting = getter.ask(target)
    socket = await stage.websocket()
    await socket.message()
    socket.say("4hello")
    assert await socket.message() == "4hello"
    _, idle = await stage.polling()  # whose last words nobody fetches yet
    late = await stage.peer()
    stage.process.send_signal(signal.SIGTERM)
    assert (await waiting).text == "1"
    await socket.lost()
    assert socket.code == 1000
    refusal = await late.ask(POLLING)
    assert refusal.error == (503, 4, "The server is going away")
    assert refusal.headers["retry-after"] == "5"
    assert (await late.ask(idle)).text == "1"
    assert await stage.ends() == 0


@ensureDeferred
async def test_who_does_not_go_is_cut_off(twistd: Callable) -> None:
    """A client that never polls again, and one that leaves a goodbye unanswered."""
    stage = await twistd("--drain-timeout", "0.6")
    await stage.polling()
    peer = await raw(stage)
    began = reactor.seconds()
    stage.process.send_signal(signal.SIGTERM)
    assert (await peer.frame())[0] == CLOSE
    assert await stage.ends() == 0
    assert reactor.seconds() - began >= 0.6


@ensureDeferred
async def test_a_second_sigterm_is_impatient(twistd: Callable) -> None:
    """It need not be killed."""
    stage = await twistd("--drain-timeout", "60")
    await stage.polling()
    stage.process.send_signal(signal.SIGTERM)
    await until(lambda: "1 session has 60 s to end" in stage.log)
    stage.process.send_signal(signal.SIGTERM)
    assert await stage.ends() == 0


@ensureDeferred
async def test_sigint_is_as_it_was(twistd: Callable) -> None:
    """Sessions are let go, and a shell sees that it was interrupted."""
    stage = await twistd()
    socket = await stage.websocket()
    await socket.message()
    stage.process.send_signal(signal.SIGINT)
    await socket.lost()
    assert socket.code == 1000
    assert await stage.ends() == -signal.SIGINT


@ensureDeferred
async def test_a_second_sigint_is_impatient(twistd: Callable) -> None:
    """As Ctrl-C twice is meant; a shell still sees that it was interrupted."""
    stage = await twistd("--drain-timeout", "60")
    await stage.polling()
    stage.process.send_signal(signal.SIGINT)
    await until(lambda: "received SIGINT: 1 session has 60 s to end" in stage.log)
    stage.process.send_signal(signal.SIGINT)
    assert await stage.ends() == -signal.SIGINT


@ensureDeferred
async def test_sessions_end_spread_over_time(twistd: Callable) -> None:
    """So that their clients do not all connect anew at once."""
    stage = await twistd("--drain-timeout", "2")
    peers = [await raw(stage) for _ in range(60)]
    ends: list[float] = []
    for each in peers:
        each.frame().addCallback(lambda _: ends.append(reactor.seconds()))
    stage.process.send_signal(signal.SIGTERM)
    await until(lambda: len(ends) == 60)
    assert max(ends) - min(ends) > 0.3
    for each in peers:
        each.leave()
    assert await stage.ends() == 0


@pytest.mark.parametrize("size", [12_000_000])
@ensureDeferred
async def test_a_slow_reader_gets_all_that_was_sent(
    twistd: Callable, size: int
) -> None:
    """What is queued, what the process holds for its socket, and the goodbye."""
    stage = await twistd("--drain-timeout", "30", *SENDER)
    peer = await raw(stage)
    peer.write(frame(TEXT, b"4%d" % size))
    peer.transport.pauseProducing()
    await turn(0.2)
    stage.process.send_signal(signal.SIGTERM)
    await until(lambda: "received SIGTERM" in stage.log)
    peer.transport.resumeProducing()
    received = 0
    while True:
        opcode, payload = await peer.frame()
        if opcode != BINARY:
            break
        received += len(payload)
    assert opcode == CLOSE
    assert received == size
    peer.write(frame(CLOSE, payload))
    assert await stage.ends() == 0
