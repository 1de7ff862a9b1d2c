"""The Sphinx configuration."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from pygments.lexers import TextLexer

import twisted_engineio

project = "twisted_engineio"
author = "twisted_engineio contributors"
project_copyright = author
release = version = twisted_engineio.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"twisted_engineio {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
exclude_patterns = ["_build", "performance/*.rst"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False

RELEASES = ".. towncrier release notes start\n"


def add_the_next_release(app, docname, source):
    """Insert the entries of changelog.d for the next release above the others."""
    if docname == "changelog":
        command = [sys.executable, "-m", "towncrier", "build", "--draft"]
        draft = subprocess.check_output(
            [*command, "--version", "Next", "--date", "not released yet"],
            cwd=Path(__file__).parent.parent,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        changelog = (Path(__file__).parent.parent / "CHANGELOG.rst").read_text("utf-8")
        source[0] = changelog.replace(RELEASES, f"{RELEASES}\n{draft}\n")


def let_long_names_break(app, doctree, docname):
    """Allow line breaks in long names in tables; make the names of tests small."""
    for cell in doctree.findall(nodes.entry):
        for literal in cell.findall(nodes.literal):
            name = literal.astext()
            if re.match(r"tests/\S+::", name):
                literal["classes"].append("test")
                breaks = r"(?<=[/_:])(?=[^/_:])"
            elif re.fullmatch(r"[\w.]{30,}", name):
                breaks = r"(?<=\.)"
            else:
                continue
            literal.clear()
            for part in re.split(breaks, name):
                literal += nodes.Text(part)
                literal += nodes.raw("", "<wbr>", format="html")


def setup(app):
    app.connect("source-read", add_the_next_release)
    app.connect("doctree-resolved", let_long_names_break)
    # Pygments has no HAProxy lexer, but tests/doc_blocks.py needs the language.
    app.add_lexer("haproxy", TextLexer)
