"""twistd's start, seen from outside: endpoints that cannot listen, and signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from programs import default_signals

TWISTD = str(Path(sys.executable).with_name("twistd"))
PATIENCE = 30.0
"""Seconds that a start, or an end, may take on a busy machine."""


@pytest.fixture
def taken() -> Iterator[str]:
    """An endpoint that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield f"tcp:{held.getsockname()[1]}:interface=127.0.0.1"


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run twistd to its end, in a folder of its own."""

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TWISTD, "--pidfile=pid", "--logfile=log", *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            preexec_fn=default_signals,
            check=False,
        )

    return run


def alive(folder: Path) -> bool:
    """Tell whether a process runs that works in a folder."""
    for each in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if each.readlink() == folder:
                return True
        except OSError:
            continue
    return False


FREE = "tcp:0:interface=127.0.0.1"
LISTENS = {
    "port": ("--port", "{taken}"),
    "the second of two": ("--listen", FREE, "--listen", "{taken}"),
    "behind a UNIX socket": ("--listen", "unix:s", "--listen", "{taken}"),
    "metrics": (
        *("--listen", FREE, "--metrics", "/metrics"),
        *("--metrics-listen", "{taken}"),
    ),
    "a directory that is not there": ("--listen", "unix:/no/such/socket"),
    "a name that is not this machine's": ("--listen", "tcp:0:interface=192.0.2.1"),
}


@pytest.mark.parametrize("options", LISTENS.values(), ids=LISTENS)
@pytest.mark.parametrize("mode", [(), ("-n",)], ids=["daemon", "foreground"])
def test_a_start_that_cannot_listen_fails(
    start: Callable, tmp_path: Path, taken: str, mode: tuple, options: tuple
) -> None:
    """Status 1, one line in the log, no pidfile, no socket, and no process."""
    ended = start(*mode, "engineio", *(each.format(taken=taken) for each in options))
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    if not mode:
        assert "Couldn't listen on " in ended.stderr
    log = (tmp_path / "log").read_text()
    assert log.count("twistd engineio: Couldn't listen on ") == 1
    assert "Traceback" not in log
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log"]
    end = time.monotonic() + PATIENCE
    while alive(tmp_path) and time.monotonic() < end:
        time.sleep(0.01)  # the daemon's parent leaves first
    assert not alive(tmp_path)


# Signals.


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Start a daemon: its process id."""
    pids = []

    def run(*before: str) -> int:
        subprocess.run(
            [*before, TWISTD, "--pidfile=pid", "--logfile=log", "engineio"]
            + ["--listen", "unix:s"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            preexec_fn=default_signals,
            check=True,
        )
        pids.append(int((tmp_path / "pid").read_text()))
        answer(tmp_path)  # it takes signals once it runs
        return pids[-1]

    yield run
    for each in pids:
        if alive(tmp_path):
            os.kill(each, signal.SIGKILL)


def answer(folder: Path) -> None:
    """Ask it for something, and wait for the answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(folder / "s"))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(1) == b"H"


def gone(folder: Path) -> None:
    """Wait until no process works in a folder."""
    end = time.monotonic() + PATIENCE
    while alive(folder):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_daemon_that_hears_sighup_ends_in_order(
    daemon: Callable, tmp_path: Path
) -> None:
    """It drains, and removes its pidfile and its socket."""
    os.kill(daemon(), signal.SIGHUP)
    gone(tmp_path)
    log = (tmp_path / "log").read_text()
    assert "received SIGHUP: 0 sessions have 5 s to end" in log
    assert "Server Shut Down." in log
    assert [each.name for each in tmp_path.iterdir()] == ["log"]


def test_nohup_is_heeded(daemon: Callable, tmp_path: Path) -> None:
    """What was told to ignore SIGHUP does; SIGTERM still ends it."""
    process = daemon("nohup")
    os.kill(process, signal.SIGHUP)
    answer(tmp_path)
    os.kill(process, signal.SIGTERM)
    gone(tmp_path)
    assert "received SIGHUP" not in (tmp_path / "log").read_text()


def test_a_log_that_logrotate_has_renamed_is_left(
    daemon: Callable, tmp_path: Path
) -> None:
    """With a new file in its place or without, what follows stands in the new one."""
    process = daemon()
    for number, create in enumerate((True, False)):
        (tmp_path / "log").rename(tmp_path / f"old-{number}")
        if create:
            (tmp_path / "log").touch()
        os.kill(process, signal.SIGUSR1)
        end = time.monotonic() + PATIENCE
        while (held := tmp_path / "log") not in files_of(process):
            assert time.monotonic() < end, held
            time.sleep(0.01)
    os.kill(process, signal.SIGTERM)
    gone(tmp_path)
    assert "received SIGTERM" in (tmp_path / "log").read_text()
    assert "received SIGTERM" not in (tmp_path / "old-1").read_text()


def files_of(process: int) -> set[Path]:
    """Name the files that a process has open."""
    return {each.readlink() for each in Path(f"/proc/{process}/fd").iterdir()}


@pytest.mark.parametrize("left", [True, False])
def test_a_lock_with_its_own_process_id_does_not_keep_it_from_starting(
    tmp_path: Path, left: bool
) -> None:
    """As in a container that was killed, whose next process has the same id."""
    if left:
        with socket.socket(socket.AF_UNIX) as before:
            before.bind(str(tmp_path / "s"))
    # exec keeps the id of the shell.
    line = f"ln -s $$ s.lock; exec {TWISTD} -n --pidfile= engineio --listen unix:s"
    with subprocess.Popen(
        ["sh", "-c", line],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        preexec_fn=default_signals,
    ) as process:
        try:
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    answer(tmp_path)
                    break
                except OSError:
                    assert process.poll() is None
                    assert time.monotonic() < end
                    time.sleep(0.05)
            assert os.readlink(tmp_path / "s.lock") == str(process.pid)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []
