"""Which paths of a site are whose, and the time that all of them have."""

from __future__ import annotations

import pytest

from twisted_engineio import ConfigError
from twisted_engineio.guard import Guard


@pytest.mark.parametrize("path", ["/engine.io", "engine.io", "/engine.io/"])
@pytest.mark.parametrize(
    ("requested", "guarded"),
    [
        (b"/engine.io", True),
        (b"/engine.io/", True),
        (b"/engine%2Eio/", True),
        (b"/%65ngine.io", True),
        (b"/engine.io/x", False),
        (b"/engine", False),
        (b"/", False),
        (b"", False),
        (b"/Engine.IO", False),
        (b"/%ff%", False),
    ],
)
def test_a_guard_knows_which_requests_are_its_servers(server, path, requested, guarded):
    """Those for the server's resource, however they are written."""
    assert Guard(server, path).server_at(requested) is (server if guarded else None)


def test_a_path_may_have_folders(server):
    """The whole of it counts."""
    guard = Guard(server, "/a/b")
    assert guard.server_at(b"/a/b/") is server
    assert guard.server_at(b"/a") is None
    assert guard.server_at(b"/b") is None


def test_a_server_may_be_the_root(server):
    """Then a site has nothing else."""
    guard = Guard(server, "/")
    assert guard.server_at(b"/") is server
    assert guard.server_at(b"/a") is None


def test_several_servers_have_the_time_of_the_strictest(make_server):
    """Whose request it is shows when its headers are there, which is late."""
    one = make_server(request_timeout=30.0)
    guard = Guard(one, "/one")
    for seconds, path in ((40.0, "/two"), (20.0, "/three"), (25.0, "/four")):
        guard.add(make_server(request_timeout=seconds), path)
    assert guard.request_timeout == 20.0
    assert guard.clock is one.clock
    assert guard.server_at(b"/one") is one
    assert guard.server_at(b"/two").config.request_timeout == 40.0


def test_a_path_is_one_server_s(make_server):
    """The same again is nothing new; another is a mistake."""
    one, two = make_server(), make_server()
    guard = Guard(one, "/engine.io")
    guard.add(one, "engine.io/")
    with pytest.raises(ConfigError, match="is guarded for another server"):
        guard.add(two, "/engine.io")
    assert guard.server_at(b"/engine.io") is one
