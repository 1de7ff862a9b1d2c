"""The package is written in plain technical English, in modules of moderate length."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import twisted_engineio

PACKAGE = Path(twisted_engineio.__file__).parent

BANNED = frozenset(
    (
        "goodbye",
        "goodbyes",
        "farewell",
        "farewells",
        "knock",
        "knocks",
        "knocked",
        "onlooker",
        "onlookers",
        "whoever",
        "nobody",
        "somebody",
        "everybody",
        "anew",
        "crowd",
        "crowds",
        "verdict",
        "verdicts",
    )
)
BANNED_VERBS = frozenset(("have", "give", "see", "be", "let", "tell", "hear"))
"""Verbs with which no docstring starts: they name no operation."""

MAX_LINES = 400
LONG = (
    "server/server.py",
    "session/session.py",
    "stream/transport.py",
    "transports/websocket/frames.py",
    "transports/websocket/transport.py",
    "web/resource.py",
)
"""Modules that are longer than ``MAX_LINES``."""

MODULES = {
    path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))
}

# A word of text, or a part of an identifier: goodbye_sent, sayGoodbye, GOODBYES.
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def words_of(text: str) -> list[str]:
    """Split text into words in lower case, identifiers at underscores and capitals."""
    return [word.lower() for word in WORD.findall(text)]


def docstrings_of(tree: ast.Module) -> list[str]:
    """Return all docstrings of a module, its classes and its functions."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (
        ast.get_docstring(node)
        for node in ast.walk(tree)
        if isinstance(node, documented)
    )
    return [docstring for docstring in found if docstring]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Everybody, anew.", ["everybody", "anew"]),
        ("_goodbye_sent", ["goodbye", "sent"]),
        ("sayGoodbye", ["say", "goodbye"]),
        ("HTTPVerdict", ["http", "verdict"]),
        ("GOODBYES = 1", ["goodbyes"]),
        ("renewal", ["renewal"]),
    ],
)
def test_words_are_found_in_text_and_in_identifiers(text, words):
    """Identifiers are split at underscores and capitals, words are kept whole."""
    assert words_of(text) == words


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_no_banned_word(name):
    """No identifier, comment, string or docstring of it contains one."""
    assert not BANNED & set(words_of(MODULES[name].read_text()))


@pytest.mark.parametrize("name", MODULES)
def test_no_docstring_starts_with_a_banned_verb(name):
    """A docstring starts with a verb that names the operation."""
    firsts = {
        words_of(each)[0]
        for each in docstrings_of(ast.parse(MODULES[name].read_text()))
    }
    assert not BANNED_VERBS & firsts


@pytest.mark.parametrize("name", [name for name in MODULES if name not in LONG])
def test_a_module_is_of_moderate_length(name):
    """It has at most 400 lines."""
    assert len(MODULES[name].read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("name", LONG)
def test_a_long_module_exists_and_is_long(name):
    """An exception that is no longer needed is removed from the list."""
    assert len(MODULES[name].read_text().splitlines()) > MAX_LINES
