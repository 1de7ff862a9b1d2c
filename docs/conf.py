"""How Sphinx builds these pages."""

from __future__ import annotations

from pygments.lexers import TextLexer

import twisted_engineio

project = "twisted_engineio"
author = "twisted_engineio contributors"
project_copyright = author
release = version = twisted_engineio.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"twisted_engineio {release}"
exclude_patterns = ["_build", "performance/table.rst"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False


def setup(app):
    # Pygments knows no HAProxy; a block says what it is all the same, for its check.
    app.add_lexer("haproxy", TextLexer)
