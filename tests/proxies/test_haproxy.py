"""Behind Debian's HAProxy, by headers and by the PROXY protocol."""

from __future__ import annotations

import contextlib

import pytest
from fixtures import Play
from proxying import HAProxy
from visits import CLIENTS, FORGED, seen, visit
from wire import Peer

clients = pytest.mark.parametrize("client", CLIENTS)
by_protocol = pytest.mark.parametrize("kind", ["line_port", "bytes_port"])


@pytest.mark.parametrize("revision", [4, 3])
@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
def test_echo(haproxy: HAProxy, play: Play, mode: str, revision: int) -> None:
    """Npm's clients get every message back as it was sent, in order."""
    assert play("mixed", haproxy, mode, revision) == {"errors": []}


@by_protocol
@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
def test_echo_behind_the_proxy_protocol(
    haproxy: HAProxy, play: Play, mode: str, kind: str
) -> None:
    """So do they where every connection begins with the PROXY protocol."""
    url = f"http://127.0.0.1:{getattr(haproxy, kind)}"
    assert play("mixed", haproxy, mode, url=url) == {"errors": []}


@pytest.mark.parametrize("revision", [4, 3])
def test_order_across_an_upgrade(haproxy: HAProxy, play: Play, revision: int) -> None:
    """200 numbers each way, sent before, during and after it, lose no order."""
    journal = play("ordering", haproxy, "upgrade", revision, count=200)
    assert journal["echoes"] == list(range(200))
    assert journal["numbers"] == list(range(200))


@pytest.mark.parametrize("mode", ["polling", "websocket", "upgrade"])
def test_ends(haproxy: HAProxy, play: Play, mode: str) -> None:
    """Either side can close, and both know who did."""
    ends = play("clientCloses", haproxy, mode)
    assert ends == {"client": "forced close", "server": "transport close"}
    ends = play("serverCloses", haproxy, mode)
    assert (ends["client"], ends["server"]) == ("transport close", "forced close")


def test_a_crowd(haproxy: HAProxy, play: Play) -> None:
    """Thirty clients that share HAProxy's connections each get what is theirs."""
    assert play("crowd", haproxy, "upgrade", count=30) == {"errors": 0}


def test_a_client_that_breaks_off_a_get(haproxy: HAProxy) -> None:
    """HAProxy hangs up in turn, and the session ends at once."""
    with contextlib.closing(Peer(haproxy.port)) as peer:
        sid, witness = peer.open(), peer.open()
        peer.post(witness, f"4!reason {sid}".encode())
        peer.waiting(sid).close()
        assert peer.poll(witness).text == "4transport error"


@clients
def test_client_address(haproxy: HAProxy, client: str) -> None:
    """With ``option forwardfor`` the application sees the client, not HAProxy."""
    assert visit(Peer(haproxy.port, source=client)) == seen(client)


@clients
def test_tls(haproxy: HAProxy, client: str) -> None:
    """Where HAProxy speaks TLS, and says so, the session is secure."""
    peer = Peer(haproxy.tls_port, source=client, tls=True)
    assert visit(peer) == seen(client, secure=True)


@clients
def test_forged_headers(haproxy: HAProxy, client: str) -> None:
    """What a client makes up is overruled by what HAProxy adds."""
    assert visit(Peer(haproxy.port, source=client), *FORGED) == seen(client)


@by_protocol
@clients
def test_client_address_by_the_proxy_protocol(
    haproxy: HAProxy, client: str, kind: str
) -> None:
    """The address is the connection's own then."""
    peer = Peer(getattr(haproxy, kind), source=client)
    assert visit(peer) == seen(client)


@by_protocol
@clients
def test_forged_headers_with_the_proxy_protocol(
    haproxy: HAProxy, client: str, kind: str
) -> None:
    """The client is no proxy, and its headers change nothing."""
    peer = Peer(getattr(haproxy, kind), source=client)
    assert visit(peer, *FORGED) == seen(client)
