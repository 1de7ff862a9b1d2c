"""Behind Debian's nginx, configured as the docs say."""

from __future__ import annotations

import contextlib
import re
from http.client import HTTPConnection
from pathlib import Path

import pytest
from fixtures import Play
from programs import free_port, program, started
from proxying import Nginx, StartNginx
from running import APP, Service, StartOurs
from visits import CLIENTS, FORGED, seen, visit
from wire import Peer

clients = pytest.mark.parametrize("client", CLIENTS)


@pytest.mark.parametrize("revision", [4, 3])
@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
def test_echo(nginx: Nginx, play: Play, mode: str, revision: int) -> None:
    """Npm's clients get every message back as it was sent, in order."""
    assert play("mixed", nginx, mode, revision) == {"errors": []}


@pytest.mark.parametrize("revision", [4, 3])
def test_order_across_an_upgrade(nginx: Nginx, play: Play, revision: int) -> None:
    """200 numbers each way, sent before, during and after it, lose no order."""
    journal = play("ordering", nginx, "upgrade", revision, count=200)
    assert journal["echoes"] == list(range(200))
    assert journal["numbers"] == list(range(200))


@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
def test_ends(nginx: Nginx, play: Play, mode: str) -> None:
    """Either side can close, and both know who did."""
    ends = play("clientCloses", nginx, mode)
    assert ends == {"client": "forced close", "server": "transport close"}
    ends = play("serverCloses", nginx, mode)
    assert (ends["client"], ends["server"]) == ("transport close", "forced close")


def test_a_crowd(nginx: Nginx, play: Play) -> None:
    """Thirty clients that share nginx's connections each get what is theirs."""
    assert play("crowd", nginx, "upgrade", count=30) == {"errors": 0}


def test_a_client_that_breaks_off_a_get(nginx: Nginx) -> None:
    """Nginx hangs up in turn, and the session ends at once."""
    with contextlib.closing(Peer(nginx.port)) as peer:
        sid, witness = peer.open(), peer.open()
        peer.post(witness, f"4!reason {sid}".encode())
        peer.waiting(sid).close()
        assert peer.poll(witness).text == "4transport error"


@clients
def test_client_address(nginx: Nginx, client: str) -> None:
    """The application sees the client's address, not nginx's, on every transport."""
    assert visit(Peer(nginx.port, source=client)) == seen(client)


@clients
def test_tls(nginx: Nginx, client: str) -> None:
    """Where nginx speaks TLS, the session is secure."""
    peer = Peer(nginx.tls_port, source=client, tls=True)
    assert visit(peer) == seen(client, secure=True)


@clients
def test_forged_headers(nginx: Nginx, client: str) -> None:
    """What a client makes up is overruled by what nginx adds."""
    assert visit(Peer(nginx.port, source=client), *FORGED) == seen(client)


@clients
def test_forged_headers_past_nginx(behind: Service, client: str) -> None:
    """A client that reaches the server itself is no proxy, whatever it says."""
    assert visit(Peer(behind.port, source=client), *FORGED) == seen(client)


def test_a_proxy_that_is_trusted_is_believed(behind: Service) -> None:
    """The same headers from the address that is trusted: so they can change things."""
    assert visit(Peer(behind.port), *FORGED) == seen("203.0.113.9", secure=True)


@clients
def test_a_proxy_that_is_not_trusted(
    start_nginx: StartNginx, ours: StartOurs, client: str
) -> None:
    """Without --trusted-proxy nginx's word counts as little as anybody's."""
    nginx = start_nginx(ours(*APP))
    peer = Peer(nginx.tls_port, source=client, tls=True)
    assert visit(peer, *FORGED) == seen("127.0.0.1")


@pytest.mark.parametrize(
    ("origin", "status"), [("http://example.com", 200), ("http://a.example", 403)]
)
def test_same_origin(nginx: Nginx, origin: str, status: int) -> None:
    """A page is of the same origin if nginx says that it asked for this host."""
    headers = [f"Origin: {origin}", "X-Forwarded-Host: a.example"]
    with contextlib.closing(Peer(nginx.port)) as peer:
        assert peer.ask(peer.target(), headers=headers).status == status


PAGE = Path(__file__).parents[2] / "docs" / "operations" / "proxies.rst"
SID = "Zm9vYmFyYmF6cXV4MTIz"


@pytest.mark.parametrize(
    "target",
    [
        f"/engine.io/?EIO=4&transport=polling&sid={SID}",
        f"/engine.io/?s%69d={SID}",
        f"/engine.io/?SID={SID}&ticket={SID}",
        f"/deeper/engine.io/?transport=sse&lastEventId={SID}.4",
    ],
)
def test_the_log_format_has_no_session_s_id(tmp_path: Path, target: str) -> None:
    """The one in the docs: neither in the URL nor in the Referer."""
    (block,) = re.findall(
        r"(    map \$http_referer.*?)    server \{", PAGE.read_text(), re.S
    )
    port, config, log = free_port(), tmp_path / "nginx.conf", tmp_path / "access.log"
    config.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr;\n"
        f"events {{}} http {{\n{block}\n"
        f"client_body_temp_path {tmp_path}; proxy_temp_path {tmp_path};\n"
        f"fastcgi_temp_path {tmp_path}; uwsgi_temp_path {tmp_path};\n"
        f"scgi_temp_path {tmp_path};\n"
        f"server {{ listen 127.0.0.1:{port}; access_log {log} without_queries;\n"
        "location / { return 200; } } }\n"
    )
    nginx = (program("nginx"), "-e", "stderr", "-c", config)
    with started(tmp_path, *nginx, place=port):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Referer": f"http://example.com{target}", "User-Agent": "me"}
        connection.request("GET", target, headers=headers)
        assert connection.getresponse().status == 200
        connection.close()
    (line,) = log.read_text().splitlines()
    path = target.partition("?")[0]
    assert f'"GET {path} HTTP/1.1" 200 0 "http://example.com{path}" "me"' in line
    assert SID[:3] not in line
