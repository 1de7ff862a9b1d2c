"""
The code blocks of the documentation: found, and checked by their kind.

Every ``.. code-block:: KIND`` and every block after ``::`` is checked. ``CHECKS`` says
how, by kind; ``COMMANDS`` says how a command line is, by its first word. What is in
neither fails, so a new kind is taught here, or the block is run by a test of its own
and says so in a comment above it::

    .. run by tests/test_crossbar.py

    .. code-block:: console

        $ crossbar start

Python is executed: a page's blocks one after the other, with one set of names, on a
reactor in memory. So ``reactor.run()`` returns and nothing listens.
"""

from __future__ import annotations

import configparser
import doctest
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from textwrap import dedent

import twisted.internet
from certificates import make_certificate
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from twisted.internet.testing import MemoryReactorClock
from twisted.web.resource import Resource

from twisted_engineio import Application, tap

__all__ = ["Block", "blocks_of", "check", "pages", "run_python"]

PROJECT = Path(__file__).parent.parent
DOCS = PROJECT / "docs"
_DIRECTIVE = re.compile(r"( *)\.\. (?:code-block|sourcecode|code):: *(\S*)$")
_LITERAL = re.compile(r"( *)(?!\.\. )\S.*::$|( *)::$")
_RUN_BY = re.compile(r" *\.\. run by (tests/\S+\.py)$")


@dataclass(frozen=True)
class Block:
    """
    One block.

    Attributes:
        page: The file's path from the project's folder.
        line: Where it begins.
        kind: Its language; ``commands`` after ``::``.
        text: What is in it, without the indentation.
        run_by: The test file that runs it, if it names one.

    """

    page: str
    line: int
    kind: str
    text: str
    run_by: str | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.kind})"


def pages() -> list[Path]:
    """List the files that have blocks for a reader."""
    found = [*PROJECT.glob("*.rst"), *DOCS.rglob("*.rst")]
    return sorted(path for path in found if "_build" not in path.parts)


def blocks_of(path: Path) -> list[Block]:
    """Find a file's blocks."""
    name = path.relative_to(PROJECT).as_posix()
    return list(_find(name, path.read_text("utf-8").splitlines()))


def _find(name: str, lines: list[str]) -> Iterator[Block]:
    run_by, at = None, 0
    while at < len(lines):
        line, at = lines[at], at + 1
        if said := _RUN_BY.match(line):
            run_by = said[1]
            continue
        found = _DIRECTIVE.match(line)
        literal = None if found else _LITERAL.match(line)
        if found or literal:
            margin = len(line) - len(line.lstrip())
            end = _end(lines, at, margin)
            kind = found[2] if found else "commands"
            text = "\n".join(lines[at:end])
            yield Block(name, at, kind, _without_options(text), run_by)
            at = end
        if line.strip():
            run_by = None


def _end(lines: list[str], start: int, margin: int) -> int:
    """Find the first line that is not indented below a margin."""
    for at in range(start, len(lines)):
        line = lines[at]
        if line.strip() and len(line) - len(line.lstrip()) <= margin:
            return at
    return len(lines)


def _without_options(text: str) -> str:
    return dedent(re.sub(r"\A(?: *:[\w-]+:.*\n)+", "", text)).strip("\n") + "\n"


# Checks by kind.


def check(block: Block, folder: Path) -> None:
    """
    Check one block that is not Python: that is executed by the page.

    Args:
        block: The block.
        folder: Where files may be written.

    """
    if block.run_by is not None:
        assert (PROJECT / block.run_by).is_file(), (
            f"{block}: there is no {block.run_by}"
        )
        return
    assert block.kind in CHECKS, (
        f"{block}: nobody knows how to check this kind; known are {', '.join(CHECKS)}."
        " Teach it to tests/doc_blocks.py"
    )
    CHECKS[block.kind](block, folder)


def _run(*command: object) -> str:
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _program(name: str) -> str:
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    assert found, f"{name} is missing: run `make test`"
    return found


def _console(block: Block, folder: Path) -> None:
    """Check a transcript: commands behind a ``$``, and what they print."""
    commands = re.sub(r"\\\n *", "", block.text)
    found = re.findall(r"^\$ (.+)$", commands, re.MULTILINE)
    assert found, f"{block}: no line begins with $"
    for command in found:
        _command(block, command)


def _commands(block: Block, folder: Path) -> None:
    """Check lines that are all commands."""
    for command in re.sub(r"\\\n *", "", block.text).splitlines():
        if command.strip() and not command.startswith("#"):
            _command(block, command)


def _command(block: Block, command: str) -> None:
    words = shlex.split(command, comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    name = Path(words[0]).name if words else ""
    assert name in COMMANDS, (
        f"{block}: nobody knows how to check {command!r}; known are"
        f" {', '.join(COMMANDS)}. Teach it to tests/doc_blocks.py, or run it in a test"
        " of its own and say '.. run by tests/...' above the block"
    )
    COMMANDS[name](words[1:])


def _nginx(block: Block, folder: Path) -> None:
    """Let nginx judge a part of its configuration, in what must be around it."""
    text = block.text
    if not re.search(r"^(server|upstream|map|http) ", text, re.MULTILINE):
        text = f"server {{\n{text}\n}}"
    if not re.search(r"^http ", text, re.MULTILINE):
        text = f"http {{\n{text}\n}}"
    if not re.search(r"^events ", text, re.MULTILINE):
        text = f"events {{}}\n{text}"
    text = text.replace("/var/log/nginx/", f"{folder}/")
    pem = make_certificate(folder / "nginx.pem")
    text = re.sub(r"(ssl_certificate(?:_key)? )\S+;", rf"\g<1>{pem};", text)
    config = folder / "nginx.conf"
    config.write_text(f"pid {folder}/pid;\nerror_log stderr;\n{text}")
    _run(_program("nginx"), "-t", "-q", "-e", "stderr", "-p", folder, "-c", config)


def _haproxy(block: Block, folder: Path) -> None:
    """Let HAProxy judge its configuration."""
    pem = make_certificate(folder / "haproxy.pem")
    config = folder / "haproxy.cfg"
    config.write_text(re.sub(r" crt \S+", f" crt {pem}", block.text))
    _run(_program("haproxy"), "-c", "-q", "-f", config)


def _ini(block: Block, folder: Path) -> None:
    """Read it; and let systemd judge a unit of its own."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(re.sub(r"\\\n *", "", block.text))
    assert parser.sections(), f"{block}: there is no section in it"
    for section, suffix in (("Service", "service"), ("Socket", "socket")):
        if parser.has_section(section):
            # A socket's service stands elsewhere; systemd wants to see one.
            (folder / "unit.service").write_text("[Service]\nExecStart=/bin/true\n")
            unit = folder / f"unit.{suffix}"
            unit.write_text(re.sub(r"(?m)^(Exec\w+=)\S+", r"\1/bin/true", block.text))
            said = _run(_program("systemd-analyze"), "verify", "--man=no", unit)
            assert unit.name not in said, f"{block}: {said}"


def _yaml(block: Block, folder: Path) -> None:
    """Let Prometheus judge its configuration, or its rules."""
    kind = "rules" if re.search(r"^groups:", block.text, re.MULTILINE) else "config"
    config = folder / "prometheus.yml"
    # Files that it names are the reader's own.
    config.write_text(re.sub(r"_file: \S+", f"_file: {config}", block.text))
    _run(_program("promtool"), "check", kind, config)


def _json(block: Block, folder: Path) -> None:
    json.loads(block.text)


def _javascript(block: Block, folder: Path) -> None:
    """Let Node read it, as a module."""
    script = folder / "block.mjs"
    script.write_text(block.text)
    _run(_program("node"), "--check", script)


class _Page(HTMLParser):
    """Collects a page's scripts, and the tags that are open."""

    _EMPTY = frozenset(("br", "hr", "img", "input", "link", "meta"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self._EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)


def _html(block: Block, folder: Path) -> None:
    """See every tag closed, and let Node read the scripts."""
    page = _Page()
    page.feed(block.text)
    assert page.open == [], f"{block}: not closed: {page.open}"
    for script in page.scripts:
        _javascript(Block(block.page, block.line, "javascript", script), folder)


def _pycon(block: Block, folder: Path) -> None:
    """Compare what Python answers with what is shown."""
    parsed = doctest.DocTestParser().get_doctest(block.text, {}, str(block), None, 0)
    assert parsed.examples, f"{block}: no line begins with >>>"
    failed, _ = doctest.DocTestRunner(verbose=False).run(parsed)
    assert not failed, f"{block}: it answers otherwise"


def _nothing(block: Block, folder: Path) -> None:
    """Accept what is no code: ``text`` is for drawings and for what is printed."""
    looks = re.search(r"^(\$|from \w+ import|import \w+$)", block.text, re.MULTILINE)
    assert not looks, f"{block}: {looks[0]!r} is code; say of what kind"


CHECKS: dict[str, Callable[[Block, Path], None]] = {
    "python": lambda block, folder: None,  # run_python has them, page by page
    "pycon": _pycon,
    "console": _console,
    "commands": _commands,
    "nginx": _nginx,
    "haproxy": _haproxy,
    "ini": _ini,
    "yaml": _yaml,
    "json": _json,
    "javascript": _javascript,
    "html": _html,
    "text": _nothing,
}


# Checks by command.


_READERS_OWN = re.compile(
    # A socket that systemd would pass on, a certificate: they aren't here.
    r"^(--listen=|)(systemd:domain=(INET6?|UNIX):(index=\d+|name=[\w.-]+)"
    r"|ssl:\d+(:(privateKey|certKey|extraCertChain|interface)=[\w./-]+)+)$"
)


def _twistd(words: list[str]) -> None:
    """Let the options be parsed by whoever takes them."""
    if "engineio" not in words:
        assert {"web", "-y", "-ny"} & {*words}, f"twistd {words}: which service?"
        return
    options = tap.Options()
    given = words[words.index("engineio") + 1 :]
    given = [_READERS_OWN.sub(r"\g<1>tcp:0", each) for each in given]
    # Applications and folders are the reader's own.
    for own in ("--app", "--static"):
        if own in given:
            at = given.index(own)
            assert re.fullmatch(r"[\w.]+:[\w.]+|[\w./-]+", given[at + 1])
            del given[at : at + 2]
    options.parseOptions(given)


def _python(words: list[str]) -> None:
    if words[:1] == ["-c"]:
        compile(words[1], "<command>", "exec")
        return
    if words[:1] == ["-m"]:
        assert words[1] in ("pytest", "venv", "pip"), f"python {words}"
        return
    assert (PROJECT / words[0]).is_file(), f"there is no {words[0]}"


def _pip(words: list[str]) -> None:
    """See that what is installed can be named so, and that our extras exist."""
    assert words[0] == "install", f"pip {words}"
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    extras = settings["project"]["optional-dependencies"]
    for each in words[1:]:
        if each.startswith(("-", "/", ".")):
            for extra in re.findall(r"[\w-]+", each.partition("[")[2]):
                assert extra in extras, f"there is no extra {extra}"
            continue
        ours = canonicalize_name(Requirement(each).name) == "twisted-engineio"
        assert not ours, "PyPI does not have it: install it from a checkout"


def _npm(words: list[str]) -> None:
    """See that what is installed is what the tests install, too."""
    assert words[0] == "install", f"npm {words}"
    text = (PROJECT / "tests" / "interop" / "package.json").read_text("utf-8")
    known = json.loads(text)["dependencies"]
    for each in words[1:]:
        assert each in known, f"no test installs {each}"


def _make(words: list[str]) -> None:
    makefile = (PROJECT / "Makefile").read_text("utf-8")
    for target in words:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}?"


def _anything(words: list[str]) -> None:
    """Accept a command that only moves about, whatever its arguments."""


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "twistd": _twistd,
    "python": _python,
    "python3": _python,
    "pip": _pip,
    "make": _make,
    "npm": _npm,
    "pytest": _anything,
    "cd": _anything,
    "mkdir": _anything,
    "cp": _anything,
}


# Python.


def run_python(blocks: list[Block], names: dict[str, object]) -> None:
    """
    Execute a page's Python, one block after the other.

    Args:
        blocks: The blocks.
        names: What is defined before the first.

    """
    if str(DOCS / "recipes") not in sys.path:
        sys.path.insert(0, str(DOCS / "recipes"))  # a reader has saved them beside it
    known = twisted.internet.__dict__.get("reactor")
    loaded = sys.modules.get("twisted.internet.reactor")
    reactor = MemoryReactorClock()
    twisted.internet.reactor = sys.modules["twisted.internet.reactor"] = reactor
    try:
        for block in blocks:
            code = compile("\n" * block.line + block.text, block.page, "exec")
            exec(code, names)
    finally:
        _put_back(known, loaded)


def _put_back(known: object, loaded: object) -> None:
    del twisted.internet.reactor, sys.modules["twisted.internet.reactor"]
    if known is not None:
        twisted.internet.reactor = known
    if loaded is not None:
        sys.modules["twisted.internet.reactor"] = loaded


def stand_ins() -> dict[str, object]:
    """Give what a block may use that the reader has already: a site, an application."""
    return {"__name__": "page", "root": Resource(), "Chat": Application}
