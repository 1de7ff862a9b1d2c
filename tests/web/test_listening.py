"""A start that fails: one line, and nothing left behind."""

from __future__ import annotations

import os
import socket
import traceback

import pytest
from twisted.application.internet import StreamServerEndpointService
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory

from twisted_engineio import EngineIOError, EngineIOService
from twisted_engineio.web.listening import (
    TWISTED,
    CannotStart,
    ListeningService,
    problem_of,
)


class Port:
    """A port that listens nowhere, and is closed at once."""

    closed = False

    def connectionLost(self, reason):
        self.closed = True


class Endpoint:
    """An endpoint that answers what a test gives it, in turn."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def listen(self, factory):
        return self.answers.pop(0)


def service(*answers):
    """Make a service that listens there."""
    return ListeningService("x:1", Endpoint(*answers), Factory())


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            CannotListenError("127.0.0.1", 80, PermissionError(13, "no")),
            "Couldn't listen on 127.0.0.1:80: [Errno 13] no.",
        ),
        (
            CannotListenError(None, b"/run/x", FileNotFoundError(2, "no such")),
            "Couldn't listen on x:1: [Errno 2] no such",
        ),
        (
            CannotListenError(None, b"/run/x", "Cannot acquire lock"),
            "Couldn't listen on x:1: /run/x.lock names a running process; stop"
            " that process first",
        ),
        (OSError(1, "not ours"), "Couldn't listen on x:1: [Errno 1] not ours"),
        (ValueError("two\nlines"), "Couldn't listen on x:1: two lines"),
        (ZeroDivisionError(), "Couldn't listen on x:1: ZeroDivisionError"),
    ],
)
def test_whatever_an_endpoint_raises_is_one_line(error, line):
    """An operator reads what does not listen, and why."""
    assert problem_of(error, "x:1") == line
    with pytest.raises(CannotStart) as caught:
        service(fail(error)).privilegedStartService()
    assert caught.value.code == line
    # twistd cleans up after an Exception alone; ours have one root.
    assert isinstance(caught.value, EngineIOError)
    assert isinstance(caught.value, SystemExit)  # Python prints a line, no traceback
    assert traceback.format_exception_only(caught.value)[-1].endswith(line + "\n")


@pytest.mark.parametrize("at", [0, 1, 2])
def test_what_listened_before_is_closed(server, at):
    """Of several endpoints any may fail; one that is still opening has no port yet."""
    ports = [Port(), Port(), Port()]
    answers = [succeed(each) for each in ports]
    answers[at] = fail(CannotListenError("", 1, OSError("in use")))
    parent = EngineIOService(server)
    for each in answers:
        service(each).setServiceParent(parent)
    with pytest.raises(CannotStart):
        parent.privilegedStartService()
    assert [each.closed for each in ports] == [n < at for n in range(3)]


def test_a_port_that_cannot_be_closed_at_once_is_left(server):
    """Such as that of an endpoint around another; the process ends in any case."""
    parent = EngineIOService(server)
    for each in (succeed(object()), Deferred(), fail(ValueError("no"))):
        service(each).setServiceParent(parent)
    parent.addService(EngineIOService(server))  # and what listens nowhere
    with pytest.raises(CannotStart):
        parent.privilegedStartService()


# Locks.


LOCKED = "Cannot acquire lock"


@pytest.fixture
def path(tmp_path):
    """Give the path of a UNIX socket that is locked by this process's id."""
    os.symlink(str(os.getpid()), tmp_path / "s.lock")
    return tmp_path / "s"


def leave(path):
    """Leave a socket behind, as a process does that was killed."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize("left", [True, False])
def test_a_lock_of_an_earlier_process_of_this_id_is_stale(path, left):
    """In a container every start has the same process id."""
    if left:
        leave(path)
    port = Port()
    locked = CannotListenError(None, bytes(path), LOCKED)
    started = service(fail(locked), succeed(port))
    started.privilegedStartService()
    assert not path.exists()
    assert not path.with_name("s.lock").is_symlink()
    started.release()
    assert port.closed


def test_a_start_that_fails_leaves_no_lock(path):
    """Twisted takes it before it finds that the socket is somebody else's."""
    taken = CannotListenError(None, bytes(path), OSError(98, "in use"))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(CannotStart):
            service(fail(taken)).privilegedStartService()
    assert path.exists()
    assert not path.with_name("s.lock").is_symlink()


def test_a_file_that_is_no_socket_is_not_removed(path):
    """A path may be mistyped."""
    path.write_text("precious")
    in_use = CannotListenError(None, bytes(path), OSError("in use"))
    with pytest.raises(CannotStart):
        service(
            fail(CannotListenError(None, bytes(path), LOCKED)), fail(in_use)
        ).privilegedStartService()
    assert path.read_text() == "precious"


def test_a_lock_whose_socket_is_served_is_not_stale(path):
    """The same path given twice, or a container that shares the directory."""
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(path))
        served.listen()
        with pytest.raises(CannotStart, match="names a running process"):
            service(
                fail(CannotListenError(None, bytes(path), LOCKED))
            ).privilegedStartService()
    assert path.exists()
    assert path.with_name("s.lock").is_symlink()


@pytest.mark.parametrize("owner", ["1", None])
def test_another_process_s_lock_is_not_ours_to_remove(path, owner):
    """Twisted has asked whether that one runs."""
    lock = path.with_name("s.lock")
    lock.unlink()
    if owner is not None:
        lock.symlink_to(owner)
    with pytest.raises(CannotStart):
        service(
            fail(CannotListenError(None, bytes(path), LOCKED))
        ).privilegedStartService()
    assert lock.is_symlink() is (owner is not None)


@pytest.mark.parametrize("name", TWISTED)
def test_twisted_still_has_what_is_used(name):
    """A new Twisted shows here what it has renamed."""
    assert hasattr(StreamServerEndpointService(None, None), name)
