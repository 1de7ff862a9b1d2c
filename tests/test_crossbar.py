"""What Crossbar calls with what stands under "extra"; tests/crossbar has a real one."""

from __future__ import annotations

import pytest
from fakes import Browser, Listener
from twisted.internet import reactor as twisted_reactor
from twisted.internet.testing import MemoryReactorClock
from twisted.web.server import Site
from twisted.web.static import File

from twisted_engineio import (
    ConfigError,
    Cookie,
    EchoApplication,
    EngineIOResource,
    State,
)
from twisted_engineio.crossbar import mount, root
from twisted_engineio.wamp import WampApplication

ROUTER = "rs://unix:/run/router.sock"


class Bridge(WampApplication):
    """A bridge of the operator's own."""


@pytest.fixture
def reactor():
    """Give the reactor that Crossbar runs, in memory."""
    return MemoryReactorClock()


@pytest.fixture
def make(reactor):
    """Mount with options; give the server."""

    def make(**extra):
        return mount(extra, reactor=reactor).engineio

    return make


def stop(reactor):
    """Shut down, as the reactor does; give what it waits for."""
    [(function, args, kwargs)] = reactor.triggers["before"]["shutdown"]
    return function(*args, **kwargs)


def test_without_anything_it_echoes():
    """On Twisted's reactor; Crossbar may leave "extra" out."""
    resource = mount()
    assert type(resource.engineio.application) is EchoApplication
    assert resource.engineio.clock is twisted_reactor


def test_an_application_is_named(make):
    """As for twistd's --app."""
    assert type(make(app="fakes:Listener").application) is Listener


def test_options_are_config_s(make):
    """By the same names, as JSON has them."""
    config = make(
        ping_interval=3, transports=["sse"], cors=["https://example.com"]
    ).config
    assert config.ping_interval == 3
    assert config.transports == ("sse",)
    assert config.cors == ("https://example.com",)


def test_a_cookie_is_its_name_or_its_options(make):
    """JSON cannot represent Cookie."""
    assert make(cookie="node").config.cookie == Cookie(name="node")
    given = {"name": "node", "secure": True}
    assert make(cookie=given).config.cookie == Cookie(**given)
    assert make(cookie=None).config.cookie is None


def test_with_a_router_it_is_a_bridge(make, reactor):
    """It connects at once, and registers under the prefix."""
    application = make(router=ROUTER, prefix="rooms", realm="chats").application
    assert type(application) is WampApplication
    assert application.prefix == "rooms"
    assert reactor.unixClients[0][0] == "/run/router.sock"


def test_a_bridge_may_be_the_operator_s_own(make):
    """And have its own prefix, or none."""
    application = make(router=ROUTER, app=f"{__name__}:Bridge").application
    assert type(application) is Bridge
    assert application.prefix == "engineio"
    assert make(router=ROUTER, prefix=None).application.prefix is None


def test_a_bridge_without_a_router_is_joined_by_somebody_else(make, reactor):
    """Such as a component of its own."""
    assert type(make(app=f"{__name__}:Bridge").application) is Bridge
    assert reactor.unixClients == []


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([], "extra: must be an object, not []"),
        ({"ping_intervall": 1}, "ping_intervall: there is no such option; did you"),
        ({"rooter": ROUTER}, "rooter: there is no such option; did you mean router?"),
        ({"xyz": 1}, "xyz: there is no such option; known are ['app', 'router', "),
        ({"path": "/x"}, "path: there is no such option; "),
        ({"ping_interval": -1}, "ping_interval: must be a number of seconds above 0"),
        ({"cookie": {"nam": "x"}}, "cookie.nam: there is no such option; did you mea"),
        ({"cookie": {"name": ""}}, "cookie.name: "),
        ({"cookie": 5}, "cookie: must be a Cookie"),
        ({"app": "chat"}, "app: 'chat' must be MODULE:NAME"),
        ({"app": 5}, "app: must be text, not 5"),
        ({"router": 5}, "router: must be text, not 5"),
        ({"router": "nowhere"}, "router: 'nowhere': "),
        ({"router": ROUTER, "realm": 5}, "realm: must be text, not 5"),
        ({"router": ROUTER, "prefix": 5}, "prefix: must be text or null, not 5"),
        ({"router": ROUTER, "authentication": 5}, "authentication: must be an object"),
        ({"realm": "realm1"}, "realm: requires router"),
        ({"app": "fakes:Listener", "prefix": "x"}, "prefix: requires router"),
        (
            {"app": "fakes:Listener", "router": ROUTER},
            "router: app must be a WampApplication to use a router, not Listener",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line(extra, message, reactor):
    """With the nearest name that there is; and nothing is left running."""
    with pytest.raises(ConfigError) as caught:
        mount(extra, reactor=reactor)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert reactor.unixClients == []
    assert reactor.triggers == {}


@pytest.mark.parametrize(
    ("options", "seconds"), [({}, 5.0), ({"drain_timeout": 2}, 2.0)]
)
def test_a_shutdown_closes_the_sessions_and_then_the_router(
    reactor, open_session, options, seconds
):
    """While sessions say goodbye the bridge may still have something to end."""
    server = mount({"router": ROUTER, **options}, reactor=reactor).engineio
    [attempt] = reactor.connectors
    session = open_session(server)
    session.transport.writable = False
    stopped = []
    stop(reactor).addCallback(stopped.append)
    assert session.state is State.CLOSING
    reactor.advance(seconds - 0.1)
    assert session.state is State.CLOSING
    assert not attempt.stoppedConnecting
    for _ in range(4):
        reactor.advance(0.1)
    assert session.state is State.CLOSED
    assert attempt.stoppedConnecting
    assert len(stopped) == 1
    assert reactor.getDelayedCalls() == []


# At the root of a site.


def test_the_server_stands_where_clients_look_for_it(reactor):
    """Crossbar has no such path; its own paths are put beside."""
    top = root({"ping_interval": 3}, reactor=reactor)
    assert isinstance(top.children[b"engine.io"], EngineIOResource)
    assert top.children[b"engine.io"].engineio.config.ping_interval == 3
    other = root({"path": "/chat.io/"}, reactor=reactor)
    assert list(other.children) == [b"chat.io"]
    assert not isinstance(other, File)


def test_a_directory_is_served_beside_it(reactor, tmp_path):
    """As with twistd's --static."""
    top = root({"static": str(tmp_path)}, reactor=reactor)
    assert isinstance(top, File)
    assert top.path == str(tmp_path)
    assert b"engine.io" in top.children


def test_clients_reach_it_in_a_site(reactor, house, server):
    """Of Twisted's own class, which Crossbar's extends."""
    top = root(reactor=reactor)
    browser = Browser(Site(top, reactor=reactor))
    hello = browser.get("EIO=4&transport=polling").answer.open()
    assert hello["sid"] in top.children[b"engine.io"].engineio.sessions
    browser.lose()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            {"path": "engine.io"},
            "path: must be one segment like /engine.io, not 'engine",
        ),
        ({"path": "/a/b"}, "path: must be one segment like /engine.io, not '/a/b'"),
        ({"path": 5}, "path: must be one segment like /engine.io, not 5"),
        ({"static": "/no/such/place"}, "static: '/no/such/place' is not a directory"),
        ({"static": 5}, "static: 5 is not a directory"),
        ({"statik": "."}, "statik: there is no such option; did you mean static?"),
    ],
)
def test_a_mistake_at_the_root_is_told_likewise(extra, message, reactor):
    """In one line, with nothing left running."""
    with pytest.raises(ConfigError) as caught:
        root(extra, reactor=reactor)
    assert str(caught.value).startswith(message)
    assert reactor.triggers == {}
