"""
The two things that ``pyproject.toml`` cannot say about this distribution.

It adds a module to ``twisted.plugins``, a package of Twisted's, and its description is
the README without the pictures, which are files of a checkout.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

README = Path(__file__).with_name("README.rst").read_text(encoding="utf-8")

setup(
    # There must be no __init__.py in twisted or twisted/plugins: with one, ours would
    # replace Twisted itself. setuptools takes such a folder when it is named.
    packages=[*find_packages(include=["twisted_engineio*"]), "twisted.plugins"],
    long_description=re.sub(r"(?m)^\.\. image:: .*\n(?:   .*\n)*\n", "", README),
    long_description_content_type="text/x-rst",
)
