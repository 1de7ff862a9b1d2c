"""Every code block of the documentation runs, or is judged by whom it is for."""

from __future__ import annotations

import configparser
import re

import pytest
from doc_blocks import (
    DOCS,
    PROJECT,
    Block,
    blocks_of,
    check,
    pages,
    run_python,
    stand_ins,
)

ALL = [block for path in pages() for block in blocks_of(path)]
BY_PROGRAMS = {"haproxy", "html", "ini", "javascript", "nginx", "yaml"}
WITH_PYTHON = sorted({each.page for each in ALL if each.kind == "python"})


def checked_by(kind: str) -> list[pytest.MarkDecorator]:
    """Mark a kind of block that a program checks which is not Python's."""
    return [pytest.mark.external] if kind in BY_PROGRAMS else []


@pytest.mark.parametrize(
    "block",
    [pytest.param(each, id=str(each), marks=checked_by(each.kind)) for each in ALL],
)
def test_a_block_is_what_it_says(block, tmp_path):
    """By its kind; a kind that nobody can check fails."""
    check(block, tmp_path)


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_a_page_s_python_runs(page):
    """From its first block to its last, as a reader would put them into one file."""
    blocks = [each for each in ALL if (each.page, each.kind) == (page, "python")]
    run_python([each for each in blocks if each.run_by is None], stand_ins())


def test_every_included_file_is_there():
    """And is a program that some test runs, or a picture."""
    tests = "".join(path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    for page in pages():
        text = page.read_text("utf-8")
        for name in re.findall(r"\.\. literalinclude:: (\S+)", text):
            included = (page.parent / name).resolve()
            assert included.is_file(), f"{page}: {name}"
            assert included.name in tests or included.stem in tests, f"{page}: {name}"


# The mechanism itself: it finds them all, and what is wrong fails.


PAGE = """
A page::

    make run

.. run by tests/cli/test_options.py

.. code-block:: console

   $ crossbar start

.. code-block:: python
   :caption: chat.py
   :linenos:

   a = 1

   b = 2
No longer.

* In a list:

  .. code-block:: json

     {"a": 1}
::

    make test
"""


def test_blocks_are_found_wherever_they_stand(tmp_path, monkeypatch):
    """With options, in lists, behind a sentence or alone."""
    monkeypatch.setattr("doc_blocks.PROJECT", tmp_path)
    path = tmp_path / "page.rst"
    path.write_text(PAGE)
    found = [(each.kind, each.text, each.run_by) for each in blocks_of(path)]
    assert found == [
        ("commands", "make run\n", None),
        ("console", "$ crossbar start\n", "tests/cli/test_options.py"),
        ("python", "a = 1\n\nb = 2\n", None),
        ("json", '{"a": 1}\n', None),
        ("commands", "make test\n", None),
    ]


def test_no_page_is_forgotten():
    """The README, and every page that Sphinx builds."""
    assert PROJECT / "README.rst" in pages()
    assert {*DOCS.glob("*.rst")} <= {*pages()}
    raw = sum(
        len(re.findall(r"^ *\.\. code-block::", path.read_text(), re.MULTILINE))
        for path in pages()
    )
    assert len([each for each in ALL if each.kind != "commands"]) == raw


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("cobol", "STOP RUN."),
        ("", "something"),
        ("console", "no command\n"),
        ("console", "$ frobnicate --now\n"),
        ("commands", "twistd -n\n"),
        ("commands", "make coffee\n"),
        ("commands", "pip install '.[nonsense]'\n"),
        ("commands", "pip install 'twisted_engineio[tls]'\n"),
        ("commands", "python examples/nothing.py\n"),
        ("commands", "npm install engine.io-cleint\n"),
        ("nginx", "server { lissen 80; }\n"),
        ("nginx", "location / { proxy_pass nowhere; }\n"),
        ("haproxy", "frontend web\n    binding :80\n"),
        ("ini", "no section\n"),
        ("ini", "[Service]\nExecStart=/bin/x\nNonsense=1\n"),
        ("yaml", "groups: [{nonsense: 1}]\n"),
        ("yaml", "scrape_configs: [{nonsense: 1}]\n"),
        ("commands", "python3 -c '1 +'\n"),
        ("json", "{"),
        ("javascript", "const = 1;"),
        ("html", "<p>open"),
        ("html", "<script>const = 1;</script>"),
        ("pycon", ">>> 1 + 1\n3\n"),
        ("pycon", "1 + 1\n"),
        ("text", "$ make run\n"),
    ],
)
def test_what_is_wrong_fails(kind, text, tmp_path):
    """Whatever its kind."""
    with pytest.raises((AssertionError, ValueError, SyntaxError, configparser.Error)):
        check(Block("page.rst", 1, kind, text), tmp_path)


@pytest.mark.parametrize("option", ["--no-such-option", "--port=x:y"])
def test_a_wrong_option_of_twistd_fails(option, tmp_path):
    """The service itself says so."""
    block = Block("page.rst", 1, "commands", f"twistd -n engineio {option}\n")
    with pytest.raises(SystemExit):
        check(block, tmp_path)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param(
            "yaml", "scrape_configs: [{job_name: a}]\n", marks=pytest.mark.external
        ),
        pytest.param(
            "ini", "[Socket]\nListenStream=3000\n", marks=pytest.mark.external
        ),
        ("commands", "twistd -n engineio --listen systemd:domain=INET6:index=0\n"),
        ("commands", "twistd -n engineio --listen=ssl:1:privateKey=a.pem:certKey=b\n"),
    ],
)
def test_what_only_the_reader_has_is_not_asked_for(kind, text, tmp_path):
    """A socket of systemd's, a certificate."""
    check(Block("page.rst", 1, kind, text), tmp_path)


def test_a_test_that_is_named_must_exist(tmp_path):
    """A block can't be run by nobody."""
    block = Block("page.rst", 1, "cobol", "STOP RUN.", "tests/test_nothing.py")
    with pytest.raises(AssertionError, match=r"there is no tests/test_nothing\.py"):
        check(block, tmp_path)


def test_python_that_fails_fails():
    """Names carry over from block to block; a program's reactor returns."""
    program = "from twisted.internet import reactor\nreactor.run()\na = 1\n"
    blocks = [Block("page.rst", 1, "python", each) for each in (program, "assert a")]
    run_python(blocks, {})
    with pytest.raises(ZeroDivisionError):
        run_python([Block("page.rst", 1, "python", "1 / 0")], {})
