"""
Real proxies in front of our server: Debian's nginx and HAProxy, on loopback.

Nothing is skipped: what is missing fails the tests with a line that says what to run.
The servers, the clients and the wire are those of the interop tests.
"""

from __future__ import annotations

import os
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.with_name("interop")))

from certificates import make_certificate
from fixtures import Services, node, node_player, ours, play, services
from programs import free_port
from proxying import HAProxy, Nginx, StartNginx
from running import APP, EIO3, Service, StartOurs

__all__ = ["node", "node_player", "ours", "play", "services"]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, signed by itself, and its key, in one file."""
    return make_certificate(tmp_path_factory.mktemp("certificate") / "both.pem")


def _find(command: str, package: str) -> str:
    # Debian keeps servers where only root looks for commands.
    found = shutil.which(command, path=os.environ["PATH"] + ":/usr/sbin")
    if found is None:
        pytest.fail(
            f"{command} is missing: run `make test`, or apt install {package}",
            pytrace=False,
        )
    return found


@pytest.fixture(scope="session")
def behind_port() -> int:
    """Where our server takes connections that begin with the PROXY protocol's line."""
    return free_port()


@pytest.fixture
def behind(ours: StartOurs, behind_port: int) -> Service:
    """Our server, as it is started behind a proxy on the same machine."""
    listen = f"haproxy:tcp:{behind_port}:interface=127.0.0.1"
    options = ("--listen", listen, "--trusted-proxy", "127.0.0.1")
    return ours(*APP, *EIO3, *options)


@pytest.fixture
def start_nginx(services: Services, certificate: Path) -> StartNginx:
    """Debian's nginx in front of a server; the same again if it runs."""

    def start(upstream: Service) -> Nginx:
        command = _find("nginx", "nginx-light")
        begin = partial(Nginx, command, upstream.port, certificate)
        return services.get(f"nginx {upstream.name}", begin)

    return start


@pytest.fixture
def nginx(start_nginx: StartNginx, behind: Service) -> Nginx:
    """Debian's nginx, in front of a server that trusts it."""
    return start_nginx(behind)


@pytest.fixture
def haproxy(
    services: Services, behind: Service, behind_port: int, certificate: Path
) -> HAProxy:
    """Debian's HAProxy in front of it."""
    ports = behind.port, behind_port
    start = partial(HAProxy, _find("haproxy", "haproxy"), ports, certificate)
    return services.get("haproxy", start)
