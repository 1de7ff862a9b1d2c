"""The plugin by which twistd knows us."""

from __future__ import annotations

import importlib

from twisted.application.service import IServiceMaker
from twisted.plugin import IPlugin, getPlugins
from zope.interface.verify import verifyObject

from twisted_engineio import tap


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
