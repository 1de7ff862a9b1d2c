"""Finding the application that MODULE:NAME names; test_options.py has every kind."""

from __future__ import annotations

import pytest

from twisted_engineio import ConfigError, EchoApplication
from twisted_engineio.server.load_application import load


class Broken:
    """Cannot be made."""

    def __init__(self) -> None:
        raise ValueError("no luck\nat all")


def test_what_is_named_is_made():
    """A class is called; its module is imported."""
    assert type(load("twisted_engineio:EchoApplication")) is EchoApplication


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("chat", "'chat' must be MODULE:NAME"),
        ("no_such_module:Chat", "ModuleNotFoundError: No module named"),
        (f"{__name__}:Broken", "ValueError: no luck (" + __file__),
        ("builtins:object", "builtins:object is a object, not an Application"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(name, problem):
    """With the option's name, and where it was raised."""
    with pytest.raises(ConfigError) as caught:
        load(name)
    assert caught.value.option == "app"
    assert problem in caught.value.problem
    assert "\n" not in caught.value.problem


def test_a_missing_module_is_looked_for_where_it_is_named(tmp_path, monkeypatch):
    """The import system is no place that its user can mend."""
    monkeypatch.syspath_prepend(tmp_path)
    broken = tmp_path / "broken_chat.py"
    broken.write_text("import no_such_module\n")
    with pytest.raises(ConfigError) as caught:
        load("broken_chat:Chat")
    assert caught.value.problem.endswith(f"named 'no_such_module' ({broken}:1)")
    with pytest.raises(ConfigError) as caught:
        load("no_such_module:Chat")
    assert caught.value.problem.endswith(
        "ModuleNotFoundError: No module named 'no_such_module'"
    )
