"""Which paths of a site are whose, and the time that all of them have."""

from __future__ import annotations

import pytest

from twisted_engineio import ConfigError
from twisted_engineio.web.http1.mount_points import MountPoints


@pytest.mark.parametrize("path", ["/engine.io", "engine.io", "/engine.io/"])
@pytest.mark.parametrize(
    ("requested", "found"),
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
def test_each_request_is_for_the_server_of_its_path(server, path, requested, found):
    """Those for the server's resource, however they are written."""
    assert MountPoints(server, path).server_at(requested) is (server if found else None)


def test_a_path_may_have_folders(server):
    """The whole of it counts."""
    places = MountPoints(server, "/a/b")
    assert places.server_at(b"/a/b/") is server
    assert places.server_at(b"/a") is None
    assert places.server_at(b"/b") is None


def test_a_server_may_be_the_root(server):
    """Then a site has nothing else."""
    places = MountPoints(server, "/")
    assert places.server_at(b"/") is server
    assert places.server_at(b"/a") is None


def test_several_servers_have_the_time_of_the_strictest(make_server):
    """Whose request it is shows when its headers are there, which is late."""
    one = make_server(request_timeout=30.0)
    places = MountPoints(one, "/one")
    for seconds, path in ((40.0, "/two"), (20.0, "/three"), (25.0, "/four")):
        places.add(make_server(request_timeout=seconds), path)
    assert places.request_timeout == 20.0
    assert places.clock is one.clock
    assert places.server_at(b"/one") is one
    assert places.server_at(b"/two").config.request_timeout == 40.0


def test_a_path_is_one_server_s(make_server):
    """The same again is nothing new; another is a mistake."""
    one, two = make_server(), make_server()
    places = MountPoints(one, "/engine.io")
    places.add(one, "engine.io/")
    with pytest.raises(ConfigError, match="is another server's"):
        places.add(two, "/engine.io")
    assert places.server_at(b"/engine.io") is one
