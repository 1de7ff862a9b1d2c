"""A server as a service: it listens when it starts, and drains when it stops."""

from __future__ import annotations

import pytest
from twisted.application.service import Application as TwistdApplication
from twisted.application.service import IService, IServiceCollection, Service
from twisted.internet.defer import fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from twisted_engineio import (
    Application,
    CannotStart,
    CloseReason,
    ConfigError,
    EngineIOResource,
    EngineIOService,
    EngineIOSite,
    Server,
    protect,
)


@pytest.fixture
def reactor():
    """Give a reactor in memory."""
    return MemoryReactorClock()


@pytest.fixture
def server(make_server, reactor, listener):
    """Give a server whose clock is that reactor."""
    return Server(listener, clock=reactor)


class Port:
    """A port in memory."""

    closed = 0

    def stopListening(self):
        self.closed += 1

    def connectionLost(self, reason):
        self.closed += 1


class Endpoint:
    """An endpoint that remembers what it serves."""

    def __init__(self, error=None):
        self.port, self.factory, self.error = Port(), None, error

    def listen(self, factory):
        self.factory = factory
        return fail(self.error) if self.error else succeed(self.port)


def shutdown(reactor):
    """Call what a reactor calls before it shuts down; return the results."""
    calls = reactor.triggers.get("before", {}).get("shutdown", [])
    return [function(*args, **kwargs) for function, args, kwargs in calls]


def test_it_is_a_service(server):
    """What twistd runs is an IService, and may hold others."""
    service = EngineIOService(server)
    assert verifyObject(IService, service)
    assert verifyObject(IServiceCollection, service)
    assert service.server is server


def test_a_description_is_listened_on(server, reactor):
    """The server's clock is the reactor, and the server stands at /engine.io."""
    service = EngineIOService(server, "tcp:3000:interface=127.0.0.1")
    assert reactor.tcpServers == []
    service.startService()
    [(port, site, _, interface)] = reactor.tcpServers
    assert (port, interface) == (3000, "127.0.0.1")
    assert type(site) is EngineIOSite
    assert type(site.resource_at(b"/engine.io")) is EngineIOResource
    assert site.engineio_mounts.elsewhere is server


def test_the_reactor_of_a_description_may_be_another(reactor, listener, server):
    """A test's server may run on a Clock."""
    other = MemoryReactorClock()
    EngineIOService(server, "tcp:3000", reactor=other).startService()
    assert len(other.tcpServers) == 1
    assert reactor.tcpServers == []


@pytest.fixture
def root(server):
    """Give the root of a site that the server stands in."""
    root = Resource()
    root.putChild(b"engine.io", EngineIOResource(server))
    return root


@pytest.mark.parametrize("own", [True, False])
def test_a_site_is_served(server, root, own):
    """One of ours, or one of the application's that was protected."""
    site = EngineIOSite(root, server) if own else protect(Site(root), server)
    EngineIOService(server, endpoint := Endpoint(), site).startService()
    assert endpoint.factory is site


def test_a_root_is_served_with_the_limits_of_our_own_site(server, root):
    """Its other resources go on taking bodies."""
    EngineIOService(server, endpoint := Endpoint(), root).startService()
    assert type(endpoint.factory) is EngineIOSite
    assert endpoint.factory.resource is root
    assert endpoint.factory.engineio_mounts.elsewhere is None


def test_it_listens_once(server, reactor):
    """A service that was started with privileges does not listen again."""
    service = EngineIOService(server, "tcp:3000")
    service.privilegedStartService()
    service.startService()
    assert len(reactor.tcpServers) == 1


def test_without_an_endpoint_it_listens_nowhere(server, reactor):
    """Something else listens: the service drains the server alone."""
    service = EngineIOService(server)
    service.startService()
    assert reactor.tcpServers == []
    assert len(shutdown(reactor)) == 1


def test_sessions_end_before_the_port_closes(server, reactor, open_session, listener):
    """A polling client may need a new connection to fetch what is left for it."""
    endpoint = Endpoint()
    service = EngineIOService(server, endpoint)
    service.startService()
    open_session(server)
    stopped = []
    service.stopService().addCallback(stopped.append)
    reactor.advance(0)
    assert listener.reasons == [CloseReason.SERVER_CLOSE]
    assert not endpoint.port.closed
    assert stopped == []
    reactor.advance(0.1)
    assert endpoint.port.closed
    assert len(stopped) == 1


def test_services_that_were_added_stop_after_the_sessions(server, reactor):
    """They may be what the application needs to end its sessions."""
    service, added = EngineIOService(server), Service()
    added.setServiceParent(service)
    service.startService()
    assert added.running
    service.stopService()
    assert added.running
    reactor.advance(0.1)
    assert not added.running


def test_a_service_without_a_parent_stops_with_the_reactor(server, reactor):
    """A program needs no trigger of its own, and the reactor waits for the end."""
    endpoint = Endpoint()
    EngineIOService(server, endpoint).startService()
    [waited_for] = shutdown(reactor)
    stopped = []
    waited_for.addCallback(stopped.append)
    assert stopped == []
    reactor.advance(0.1)
    assert len(stopped) == 1
    assert endpoint.port.closed


def test_a_service_that_is_stopped_twice_stops_once(server, reactor):
    """A reactor that shuts down meanwhile waits for the end, but only until then."""
    service = EngineIOService(server, endpoint := Endpoint())
    service.startService()
    stopped = []
    service.stopService().addCallback(stopped.append)
    [waited_for] = shutdown(reactor)
    waited_for.addCallback(stopped.append)
    reactor.advance(0.1)
    assert len(stopped) == 2
    assert endpoint.port.closed == 1
    assert shutdown(reactor) == [None]


def test_a_service_with_a_parent_is_stopped_by_it(server, reactor):
    """As in a .tac file: twistd stops the application, and with it the service."""
    application = TwistdApplication("chat")
    EngineIOService(server, Endpoint()).setServiceParent(application)
    IService(application).startService()
    assert shutdown(reactor) == []


def test_a_clock_is_no_reactor(make_server):
    """A server in memory is started and stopped by its test."""
    server = make_server()
    service = EngineIOService(server)
    service.startService()
    service.stopService()
    server.clock.advance(0.1)


@pytest.mark.parametrize("name", ["startService", "privilegedStartService"])
def test_an_endpoint_that_cannot_listen_is_one_line(server, name):
    """A program ends with that line, and nothing listens."""
    service = EngineIOService(server, good := Endpoint())
    error = CannotListenError("127.0.0.1", 80, PermissionError(13, "no"))
    EngineIOService(server, Endpoint(error)).setServiceParent(service)
    with pytest.raises(CannotStart) as caught:
        getattr(service, name)()
    assert caught.value.code == "Couldn't listen on 127.0.0.1:80: [Errno 13] no."
    assert good.port.closed


def test_a_wrong_description_is_one_line(server):
    """Before anything listens."""
    with pytest.raises(ConfigError) as caught:
        EngineIOService(server, "tpc:3000")
    assert caught.value.option == "endpoint"
    assert caught.value.problem.startswith("'tpc:3000': Unknown endpoint type: 'tpc'")


def test_it_takes_a_server():
    """An application is no server."""
    with pytest.raises(TypeError, match="EngineIOService takes a Server"):
        EngineIOService(Application())
