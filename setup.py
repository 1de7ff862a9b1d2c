"""
What this distribution is: its name, its version, what it needs, what it holds.

The version is read from the package's ``_version.py``.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

MODULE = (HERE / "twisted_engineio" / "_version.py").read_text(encoding="utf-8")
VERSION = re.search(r'^__version__ = "(.+)"$', MODULE, re.MULTILINE).group(1)
TLS = ["twisted[tls]"]
METRICS = ["prometheus-client>=0.20"]
HTTP2 = ["twisted[http2]"]

setup(
    name="twisted-engineio",
    version=VERSION,
    description="An Engine.IO server on Twisted",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="twisted_engineio contributors",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    install_requires=[
        "twisted>=25.5",
        # The first series tested here whose limits count decompressed bytes: an older
        # one lets a small compressed message grow past max_payload.
        "autobahn>=26.10",
        "zope.interface",
    ],
    extras_require={
        # For "--listen ssl:..." and for answering https:// by yourself.
        "tls": TLS,
        # For "--metrics /metrics".
        "metrics": METRICS,
        # For polling and server-sent events over HTTP/2, where there is TLS.
        "http2": HTTP2,
        "test": [
            *TLS,
            *HTTP2,
            *METRICS,
            "build",
            "cbor2",
            "flask",
            "hypothesis",
            "klein",
            "pytest>=8",
            "pytest-cov",
            "pytest-twisted",
            "pytest-xdist>=3.6",
            # The page about it names all that it has, so a test pins what that is.
            "python-engineio[client]~=4.15.0",
            "treq",
        ],
        # Pinned to a series: a new release of a judge must not turn a build red.
        "lint": [*METRICS, "mypy~=2.4.1", "mypy-zope", "ruff~=0.17.5", "towncrier"],
        "docs": [*METRICS, "furo", "sphinx", "towncrier"],
        "fuzz": ["atheris~=3.0"],
        "bench": ["matplotlib>=3.8", "pytest-benchmark>=5"],
    },
    # "twisted.plugins" is Twisted's own package, and this adds one module to it. There
    # must be no __init__.py in either folder: with one, ours would stand in for
    # Twisted itself. setuptools takes such a folder when it is named.
    packages=[*find_packages(include=["twisted_engineio*"]), "twisted.plugins"],
    # Said aloud because of "pip install -e": it then puts this folder on the path as a
    # whole, instead of claiming the name "twisted" for our one file.
    package_dir={"": "."},
    package_data={
        "twisted_engineio": ["py.typed", "js/*"],
        "twisted_engineio.monitoring": ["*.html"],
        "twisted_engineio.web": ["static/*"],
    },
    zip_safe=False,
)
