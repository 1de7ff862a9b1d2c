"""Every place a server can stand: other sites, TLS, UNIX sockets, behind a proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from peers import CLOSE, POLLING, TEXT, WEBSOCKET, HttpPeer, frame, upgrade_request
from pytest_twisted import ensureDeferred
from stages import Echo, Serve, Stage, turn, until
from tls import secure
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
)
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import GzipEncoderFactory, Request, Site
from twisted.web.static import Data
from twisted.web.vhost import NameVirtualHost

from twisted_engineio import Config, EngineIOResource, EngineIOSite, Session

LOCAL = "tcp:0:interface=127.0.0.1"

# Twisted's TLS calls what newer releases of pyOpenSSL would rather not have called.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")


class Form(Resource):
    """Somebody else's resource: says what was in a form, and how long the body was."""

    isLeaf = True

    def render_POST(self, request: Request) -> bytes:
        """Answer with what came."""
        request.setHeader(b"Content-Type", b"text/plain")
        if request.args:
            return request.args[b"name"][0]
        return b"%d" % len(request.content.read())


async def works(stage: Stage, path: str = "/engine.io/") -> None:
    """Polling, an upgrade and a direct WebSocket, from the first to the last step."""
    peer = await stage.peer()
    polling = f"{path}?EIO=4&transport=polling"
    target = f"{polling}&sid={(await peer.ask(polling)).sid}"
    assert (await peer.ask(target, "POST", b"4hi")).text == "ok"
    assert (await peer.ask(target)).text == "4hi"
    for url in (polling, target):
        socket = await stage.websocket(url.replace("=polling", "=websocket"))
        if url is target:
            socket.say("2probe")
            assert await socket.message() == "3probe"
            socket.say("5")
        else:
            assert str(await socket.message())[:1] == "0"
        socket.say("4hello")
        assert await socket.message() == "4hello"
        socket.say(b"\x01" * 70_000)
        assert await socket.message() == b"\x01" * 70_000


# Beside others.


@pytest.fixture(params=["own site", "plain site"])
def make_site(request: pytest.FixtureRequest) -> type[Site]:
    """How to make a Site for a root."""
    return EngineIOSite if request.param == "own site" else Site


async def site_with(stage: Stage, kind: type[Site], root: Resource, path: str) -> None:
    """Serve a root of any shape instead of the usual one."""
    await stage.stop_listening()
    site = kind(root) if kind is Site else EngineIOSite(root, stage.server, path)
    await stage.listen_with(site, LOCAL)


@ensureDeferred
async def test_it_stands_beside_other_resources(
    serve: Serve, make_site: type[Site]
) -> None:
    """Other resources of the site are served as ever, forms and large bodies too."""
    stage = await serve(config=Config(max_payload=100_000))
    root = Resource()
    root.putChild(b"", Data(b"home", "text/plain"))
    root.putChild(b"form", Form())
    root.putChild(b"engine.io", EngineIOResource(stage.server))
    await site_with(stage, make_site, root, "/engine.io")
    peer = await stage.peer()
    assert (await peer.ask("/")).text == "home"
    form = ["Content-Type: application/x-www-form-urlencoded"]
    assert (await peer.ask("/form", "POST", b"name=value", form)).text == "value"
    assert (await peer.ask("/form", "POST", bytes(200_001))).text == "200001"
    assert (await peer.ask("/nothing")).status == 404
    await works(stage)


@ensureDeferred
async def test_it_stands_at_any_depth(serve: Serve, make_site: type[Site]) -> None:
    """A path below others works, with and without the slash, encoded or not."""
    stage = await serve(config=Config(max_payload=100_000))
    inner, root = Resource(), Resource()
    root.putChild(b"a", inner)
    inner.putChild(b"b c", EngineIOResource(stage.server))
    await site_with(stage, make_site, root, "/a/b c")
    await works(stage, "/a/b%20c/")
    await works(stage, "/a/b%20c")
    peer = await stage.peer()
    target = "/a/b%20c/?EIO=4&transport=polling"
    target = f"{target}&sid={(await peer.ask(target)).sid}"
    assert (await peer.ask(target, "POST", bytes(100_001))).status == 413


@ensureDeferred
async def test_two_servers_share_a_site(serve: Serve) -> None:
    """Each has its own sessions; the other does not know them."""
    stage, other = await serve(), await serve()
    root = Resource()
    root.putChild(b"one", EngineIOResource(stage.server))
    root.putChild(b"two", EngineIOResource(other.server))
    await site_with(stage, Site, root, "")
    await works(stage, "/one/")
    await works(stage, "/two/")
    peer = await stage.peer()
    one, two = POLLING.replace("engine.io", "one"), POLLING.replace("engine.io", "two")
    sid = (await peer.ask(one)).sid
    assert (await peer.ask(f"{two}&sid={sid}")).error[1] == 1


@ensureDeferred
async def test_it_stands_in_a_virtual_host(serve: Serve) -> None:
    """By name, as twisted.web does it."""
    stage = await serve()
    hosts, root = NameVirtualHost(), Resource()
    hosts.addHost(b"localhost", root)
    root.putChild(b"engine.io", EngineIOResource(stage.server))
    await site_with(stage, Site, hosts, "")
    await works(stage)


@ensureDeferred
async def test_a_wrapper_may_compress_its_answers(
    serve: Serve, make_site: type[Site], http: HTTPClient
) -> None:
    """twisted.web's gzip around the resource: what it says of a body is true."""
    stage = await serve()
    root = Resource()
    wrapped = EncodingResourceWrapper(
        EngineIOResource(stage.server), [GzipEncoderFactory()]
    )
    root.putChild(b"engine.io", wrapped)
    await site_with(stage, make_site, root, "/engine.io")
    await works(stage)
    asks = {"Accept-Encoding": "gzip"}
    response = await http.get(stage.polling_url, headers=asks)
    assert (await response.text())[:1] == "0"
    url = f"{stage.polling_url}&sid={stage.application.opened[-1].sid}"
    stage.application.opened[-1].send("hello " * 1000)
    response = await http.get(url, headers=asks)
    assert await response.text() == "4" + "hello " * 1000


# TLS.


@pytest_twisted.async_yield_fixture
async def https(certificate: Path, clean_reactor: None) -> AsyncIterator[HTTPClient]:
    """treq, that trusts the test's certificate."""
    root = Certificate.loadPEM(certificate.read_bytes())
    pool = HTTPConnectionPool(reactor, persistent=True)
    policy = BrowserLikePolicyForHTTPS(trustRoot=root)
    yield HTTPClient(Agent(reactor, contextFactory=policy, pool=pool))
    await pool.closeCachedConnections()


@ensureDeferred
async def test_https_and_wss(
    serve: Serve, certificate: Path, own_site: bool, https: HTTPClient
) -> None:
    """Over TLS everything works as without."""
    stage = await secure(serve, certificate, own_site)
    response = await https.get(stage.polling_url)
    assert (await response.text())[:1] == "0"
    assert stage.session.handshake.is_secure
    assert stage.session.handshake.client_address == "127.0.0.1"
    await works(stage)


@ensureDeferred
async def test_what_waits_under_tls_is_buffered(
    serve: Serve, certificate: Path
) -> None:
    """Send says that it is too much, and drained waits until the socket takes it."""
    stage = await secure(serve, certificate, True)
    peer = await stage.peer()
    peer.write(upgrade_request())
    assert (await peer.answer()).status == 101
    assert (await peer.frame())[1][:1] == b"0"
    peer.transport.pauseProducing()
    session = stage.session
    for _ in range(500):
        if not session.send(bytes(60_000)):
            break
        await turn()
    assert session.buffered > 65_536
    drained = session.drained()
    assert not drained.called
    peer.transport.resumeProducing()
    await drained
    assert session.buffered <= 16_384


@pytest.mark.parametrize("way", ["leave", "drop"])
@ensureDeferred
async def test_a_lost_tls_connection_ends_its_session(
    serve: Serve, certificate: Path, way: str
) -> None:
    """With and without a TLS goodbye."""
    stage = await secure(serve, certificate, True)
    peer = await stage.peer()
    peer.write(upgrade_request() + frame(TEXT, b"4early"))
    assert (await peer.answer()).status == 101
    assert (await peer.frame())[1][:1] == b"0"
    assert await peer.frame() == (TEXT, b"4early")
    getattr(peer, way)()
    await stage.ended()


@ensureDeferred
async def test_a_goodbye_over_tls_behind_a_message_closes_the_connection(
    serve: Serve, certificate: Path
) -> None:
    """Though the application is busy with the message, and for ever."""

    class Busy(Echo):
        def message_received(self, session: Session, data: str | bytes) -> object:
            return Deferred()

    stage = await secure(serve, certificate, True, application=Busy())
    peer = await stage.peer()
    peer.write(upgrade_request())
    assert (await peer.answer()).status == 101
    assert (await peer.frame())[1][:1] == b"0"
    peer.write(frame(TEXT, b"4busy") + frame(CLOSE, b"\x03\xe8"))
    assert await peer.frame() == (CLOSE, b"\x03\xe8")
    await peer.lost()
    await until(lambda: stage.server.connected == 0)


@ensureDeferred
async def test_plain_http_on_a_tls_port_is_no_session(
    serve: Serve, certificate: Path
) -> None:
    """Who does not speak TLS is not served, and does no harm."""
    stage = await secure(serve, certificate, True)
    with_tls = stage.client
    stage.client = TCP4ClientEndpoint(reactor, "127.0.0.1", stage.port)
    peer = await stage.peer()
    peer.write(upgrade_request())
    await peer.lost()
    stage.client = with_tls
    await works(stage)


# UNIX sockets.


@ensureDeferred
async def test_a_unix_socket(serve: Serve, tmp_path: Path, own_site: bool) -> None:
    """Where there are no addresses, the client has none."""
    path = str(tmp_path / "socket")
    stage = await serve(endpoint=f"unix:{path}:lockfile=0", own_site=own_site)
    stage.client = UNIXClientEndpoint(reactor, path)
    await works(stage)
    addresses = {each.handshake.client_address for each in stage.application.opened}
    assert addresses == {None}


# Behind a proxy that says whom it speaks for.


@pytest.mark.parametrize(
    ("line", "address"),
    [
        (b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n", "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", "2001:db8::7"),
    ],
)
@ensureDeferred
async def test_the_proxy_protocol_tells_the_client(
    serve: Serve, line: bytes, address: str, own_site: bool
) -> None:
    """Behind haproxy the handshake has the client's address, not the proxy's."""
    stage = await serve(endpoint=f"haproxy:{LOCAL}", own_site=own_site)
    peer = await proxied(stage, line)
    target = f"{POLLING}&sid={(await peer.ask(POLLING)).sid}"
    assert stage.session.handshake.client_address == address
    candidate = await proxied(stage, line)
    candidate.write(upgrade_request(target.replace("=polling", "=websocket")))
    assert (await candidate.answer()).status == 101
    candidate.write(frame(TEXT, b"2probe") + frame(TEXT, b"5") + frame(TEXT, b"4hello"))
    assert await candidate.frame() == (TEXT, b"3probe")
    assert await candidate.frame() == (TEXT, b"4hello")
    direct = await proxied(stage, line)
    direct.write(upgrade_request(WEBSOCKET))
    assert (await direct.answer()).status == 101
    await until(lambda: len(stage.application.opened) == 2)
    assert stage.application.opened[1].handshake.client_address == address


@ensureDeferred
async def test_without_its_line_a_proxy_is_nobody(serve: Serve) -> None:
    """A connection that does not begin with the line is closed."""
    stage = await serve(endpoint=f"haproxy:{LOCAL}")
    peer = await stage.peer()
    peer.send(POLLING)
    await peer.lost()
    assert not stage.application.opened


async def proxied(stage: Stage, line: bytes) -> HttpPeer:
    """Connect as the proxy does."""
    peer = await stage.peer()
    peer.write(line)
    return peer


# Behind somebody else's protocol.


class Shared(Protocol):
    """A port of two protocols: it looks at the first bytes, or not, and hands on."""

    inner: Any = None

    def __init__(self, site: Site, looks: bool) -> None:
        self.site = site
        self.looks = looks

    def connectionMade(self) -> None:
        """Hand the connection on, if the first bytes do not matter."""
        if not self.looks:
            self.hand_on()

    def hand_on(self) -> None:
        """Give the transport to the site, and feed it from now on."""
        self.inner = self.site.buildProtocol(self.transport.getPeer())
        self.inner.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Feed the site."""
        if self.inner is None:
            self.hand_on()
        self.inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the site."""
        if self.inner is not None:
            self.inner.connectionLost(reason)


class Secured(Protocol):
    """A protocol that begins TLS when it is told to, and leaves the rest to a site."""

    has_begun = False

    def __init__(self, site: Site, certificate: Path) -> None:
        self.site = site
        self.options = PrivateCertificate.loadPEM(certificate.read_bytes()).options()

    def dataReceived(self, data: bytes) -> None:
        """Begin."""
        inner = self.site.buildProtocol(self.transport.getPeer())
        self.transport.protocol = inner
        self.transport.startTLS(self.options)
        inner.makeConnection(self.transport)
        self.has_begun = True


async def behind(stage: Stage, make: Callable[[Site], Protocol]) -> HttpPeer:
    """Listen with another protocol before the site of a stage; connect to that."""
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(stage.server))
    site = EngineIOSite(root, stage.server)
    factory = Factory()
    factory.buildProtocol = lambda _: make(site)
    await stage.stop_listening()
    await stage.listen_with(factory, LOCAL)
    return await stage.peer()


@ensureDeferred
async def test_who_has_read_the_first_bytes_feeds_them_first(serve: Serve) -> None:
    """Though more waits in the socket by then."""
    stage = await serve()
    peer = await behind(stage, lambda site: Shared(site, looks=True))
    messages = [b"4%d" % number + b"x" * 10_000 for number in range(10)]
    peer.write(upgrade_request() + b"".join(frame(TEXT, each) for each in messages))
    assert (await peer.answer()).status == 101
    assert (await peer.frame())[1][:1] == b"0"
    assert [(await peer.frame())[1] for _ in messages] == messages


@ensureDeferred
async def test_who_says_nothing_behind_another_protocol_is_cut_off(
    serve: Serve,
) -> None:
    """As on a port of our own."""
    stage = await serve(config=Config(request_timeout=0.2))
    peer = await behind(stage, lambda site: Shared(site, looks=False))
    await peer.lost()


@ensureDeferred
async def test_tls_may_begin_in_mid_stream(serve: Serve, certificate: Path) -> None:
    """The session is secure, and its goodbye goes through the TLS."""
    stage = await serve()
    outer = []

    def secured(site: Site) -> Secured:
        outer.append(Secured(site, certificate))
        return outer[0]

    peer = await behind(stage, secured)
    peer.write(b"STARTTLS")
    await until(lambda: outer and outer[0].has_begun)
    root = Certificate.loadPEM(certificate.read_bytes())
    peer.transport.startTLS(optionsForClientTLS("localhost", root))
    peer.write(upgrade_request())
    assert (await peer.answer()).status == 101
    assert (await peer.frame())[1][:1] == b"0"
    assert stage.session.handshake.is_secure
    peer.write(frame(TEXT, b"4hello") + frame(CLOSE, b"\x03\xe8"))
    assert await peer.frame() == (TEXT, b"4hello")
    assert await peer.frame() == (CLOSE, b"\x03\xe8")
    await peer.lost()
