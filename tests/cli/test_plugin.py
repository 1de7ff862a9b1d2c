"""The plugin by which twistd knows us."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from twisted.application.service import IServiceMaker
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin, getPlugins
from zope.interface.verify import verifyObject

from twisted_engineio import tap
from twisted_engineio.stream.endpoint import EngineIOServerEndpoint


def test_twistd_finds_the_plugin():
    """By its name, once."""
    (plugin,) = [
        each
        for each in getPlugins(IServiceMaker)
        if getattr(each, "tapname", None) == "engineio"
    ]
    assert "Engine.IO" in plugin.description


def test_the_plugin_makes_our_service():
    """It names the module that has Options and makeService."""
    plugin = importlib.import_module("twisted.plugins.engineio_plugin").engineio
    assert verifyObject(IPlugin, plugin)
    assert verifyObject(IServiceMaker, plugin)
    assert plugin.options is tap.Options
    assert plugin.makeService is tap.makeService


def test_twisted_finds_the_endpoint():
    """By its name, in any description."""
    reactor = MemoryReactorClock()
    description = r"engineio:tcp\:3000\:interface\=127.0.0.1:path=/x:ping_interval=5"
    endpoint = serverFromString(reactor, description)
    assert isinstance(endpoint, EngineIOServerEndpoint)
    assert endpoint.path == "/x"
    assert endpoint.config.ping_interval == 5.0
    assert endpoint._endpoint._interface == "127.0.0.1"


def test_the_endpoint_s_parser_is_a_plugin():
    """With the interfaces that Twisted looks for."""
    parser = importlib.import_module("twisted.plugins.engineio_plugin").endpoint
    assert verifyObject(IPlugin, parser)
    assert verifyObject(IStreamServerEndpointStringParser, parser)


def test_a_mistake_in_a_description_is_a_value_error():
    """As the string that people write."""
    with pytest.raises(ValueError, match="needs one endpoint"):
        serverFromString(MemoryReactorClock(), "engineio:tcp:3000")


def test_who_asks_for_another_endpoint_pays_nothing():
    """Twisted reads every plugin then; ours imports nothing before it is used."""
    program = (
        "import sys\n"
        "from twisted.internet import endpoints, testing\n"
        "try:\n"
        "    endpoints.serverFromString(testing.MemoryReactorClock(), 'pigeon:1')\n"
        "except ValueError:\n"
        "    pass\n"
        "assert 'twisted.plugins.engineio_plugin' in sys.modules\n"
        "assert 'twisted_engineio' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
