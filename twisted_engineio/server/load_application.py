"""Import the application named ``MODULE:NAME``, for the command line and Crossbar."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from typing import Any

from ..application import Application
from ..exceptions import ConfigError

__all__ = ["load"]


def load(name: str) -> Application:
    """
    Import an application; instantiate it if ``NAME`` is a class or a factory.

    Args:
        name: ``MODULE:NAME`` of an Application, of its class, or of a function that
            returns one.

    Raises:
        ConfigError: If it cannot be imported or is no Application; its option is
            ``app``.

    """
    module_name, separator, attribute = name.partition(":")
    if not (module_name and separator and attribute):
        raise ConfigError("app", f"{name!r} must be MODULE:NAME")
    if "" not in sys.path:
        sys.path.insert(0, "")  # "python -m" adds it, the twistd script does not
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
        if inspect.isclass(found) or not isinstance(found, Application):
            found = found()
    except Exception as error:
        raise ConfigError("app", f"{name}: {_first_line(error)}") from error
    if not isinstance(found, Application):
        kind = type(found).__name__
        raise ConfigError("app", f"{name} is a {kind}, not an Application")
    return found


def _first_line(error: Exception) -> str:
    """Describe an exception, and where it was raised, in one line."""
    first = str(error).partition("\n")[0]
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is ours
    # Frames of the import system do not help either: skip them.
    theirs = [each for each in frames if not _is_of_import(each.filename)]
    where = f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""
    return f"{type(error).__name__}: {first}{where}"


def _is_of_import(filename: str) -> bool:
    return filename == importlib.__file__ or filename.startswith("<frozen importlib")
