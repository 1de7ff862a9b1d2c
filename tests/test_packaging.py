"""What the wheel holds, and what a machine that installs it gets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from email import message_from_bytes
from email.message import Message
from fnmatch import fnmatch
from pathlib import Path

import pytest

import twisted_engineio

PROJECT = Path(__file__).parent.parent

PACKAGE = PROJECT / "twisted_engineio"

LEFT_OUT = {".ci/run"}
"""What is for a checkout only."""

BY_SETUPTOOLS = {"PKG-INFO", "setup.cfg"}
"""What is in the source distribution and nowhere else."""

OF_EXTRAS = ["twisted_engineio.monitoring.metrics"]
"""Modules that need an extra, and are imported by who asks for them."""

# Where Twisted itself comes from, and whether it is whole.
WHOSE_TWISTED = """
import twisted, twisted.plugins, twisted.plugins.engineio_plugin
print(twisted.__file__)
print(twisted.plugins.__file__)
print(twisted.plugins.engineio_plugin.__file__)
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run ``command`` away from this process's settings; return what it printed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the source distribution as an installer would."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, PROJECT, cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The ``bin`` folder of an environment that holds the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder)
    # Our own pip does it: to put one there would take as long again.
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
    quietly = ("--quiet", "--disable-pip-version-check", "--no-compile")
    run(*pip, "install", *quietly, wheel, cwd=folder)
    return folder / "bin"


def test_the_wheel_holds_the_package_and_the_plugin(wheel):
    """The package with its page and its type marker, the plugin, and no more."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {
        "twisted_engineio/__init__.py",
        "twisted_engineio/_version.py",
        "twisted_engineio/js/engine.io-sse.mjs",
        "twisted_engineio/web/static/live.html",
        "twisted_engineio/monitoring/status.html",
        "twisted_engineio/py.typed",
        "twisted/plugins/engineio_plugin.py",
    } <= names
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"twisted_engineio", "twisted"}
    plugins = {name for name in names if name.startswith("twisted/")}
    assert plugins == {"twisted/plugins/engineio_plugin.py"}


def test_the_source_holds_all_that_there_is(wheel):
    """Whoever unpacks it can build the pages, and run the tests and the examples."""
    [source] = wheel.parent.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        files = {each.name.partition("/")[2] for each in archive if each.isfile()}
    made = {name for name in files if is_made(name)}
    assert files - made == everything() - LEFT_OUT
    assert {name for name in made if ".egg-info/" not in name} == BY_SETUPTOOLS


def everything() -> set[str]:
    """Tell the project's files: git's, or where there is none all but what is made."""
    if (PROJECT / ".git").exists():
        words = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
        return set(run(*words, cwd=PROJECT).splitlines())
    paths = (each.relative_to(PROJECT) for each in PROJECT.rglob("*") if each.is_file())
    return {str(each) for each in paths if not is_made(str(each))}


def is_made(name: str) -> bool:
    """Tell whether a tool has made a file, which .gitignore knows, or setuptools."""
    patterns = (PROJECT / ".gitignore").read_text().split()
    ignored = [each.rstrip("/") for each in patterns]
    parts = name.split("/")
    return (
        name in BY_SETUPTOOLS
        or name.startswith("docs/_build/")
        or any(fnmatch(part, pattern) for part in parts for pattern in ignored)
    )


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("setup.py", False),
        ("docs/crossbar/client.mjs", False),
        ("examples/crossbar/.crossbar/config.json", False),
        ("PKG-INFO", True),
        ("twisted_engineio.egg-info/SOURCES.txt", True),
        ("tests/interop/node_modules/ws/index.js", True),
        ("docs/_build/html/index.html", True),
    ],
)
def test_what_tools_make_is_told_from_what_is_ours(name, made):
    """Where there is no git, this decides what is compared."""
    assert is_made(name) is made


def test_the_version_stands_in_one_place(wheel):
    """The wheel's version is the package's."""
    assert wheel.name.startswith(f"twisted_engineio-{twisted_engineio.__version__}-")


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    """What the wheel says about itself."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [each for each in archive.namelist() if each.endswith("/METADATA")]
        return message_from_bytes(archive.read(name))


def test_an_index_is_told_what_it_shows(metadata):
    """Name, summary, licence, keywords, an address, and every extra."""
    assert metadata["Name"] == "twisted-engineio"
    assert metadata["Summary"].startswith("An Engine.IO server on Twisted")
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert "engine.io" in metadata["Keywords"].split(",")
    assert metadata["Requires-Python"] == ">=3.11"
    assert all("https://" in each for each in metadata.get_all("Project-URL"))
    assert {"tls", "metrics", "http2"} <= set(metadata.get_all("Provides-Extra"))


def test_the_description_is_whole_without_a_checkout(metadata):
    """It is the README, with no picture or link that is a file of this project."""
    text = metadata.get_payload()
    readme = (PROJECT / "README.rst").read_text("utf-8")
    assert metadata["Description-Content-Type"] == "text/x-rst"
    assert text.splitlines()[-1] == readme.splitlines()[-1]
    assert "image::" in readme
    assert "image::" not in text
    targets = re.findall(r"`[^`]+<([^`]+)>`_", text)
    assert targets
    assert all(each.startswith("https://") for each in targets)


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    """No folder of the package was forgotten, nor pages, scripts, the type marker."""
    files = (each for each in PACKAGE.rglob("*") if each.is_file())
    names = {str(each.relative_to(PROJECT)) for each in files}
    wanted = {name for name in names if not is_made(name)}
    with zipfile.ZipFile(wheel) as archive:
        assert wanted <= set(archive.namelist())


def test_twistd_finds_the_plugin(installed, tmp_path):
    """In an environment that had nothing, twistd knows engineio once we are in."""
    assert "engineio" in run(installed / "twistd", "--help", cwd=tmp_path)
    assert "--ping-interval" in run(
        installed / "twistd", "engineio", "--help", cwd=tmp_path
    )


def test_everything_it_imports_is_installed(installed, tmp_path):
    """Each module but those of an extra needs nothing but the declared dependencies."""
    run(
        installed / "python",
        "-W",
        "error::ImportWarning",
        "-c",
        "import importlib, pkgutil, twisted_engineio as package\n"
        "for found in pkgutil.walk_packages(package.__path__, 'twisted_engineio.'):\n"
        f"    if found.name not in {OF_EXTRAS}:\n"
        "        importlib.import_module(found.name)\n",
        cwd=tmp_path,
    )


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        (
            "--metrics",
            "/metrics",
            "prometheus_client is missing; pip install prometheus-client",
        ),
        (
            "--listen",
            "ssl:3443",
            "'ssl:3443': OpenSSL is missing; pip install 'twisted[tls]'",
        ),
    ],
)
def test_an_extra_that_is_missing_is_one_line(
    installed, tmp_path, option, value, problem
):
    """It says what to install; the status page needs no extra."""
    twistd = (installed / "twistd", "-n", "engineio", option, value)
    done = subprocess.run(
        twistd, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"twistd engineio: {option}: {problem}\n"


def test_an_installed_plugin_shadows_nothing(installed, tmp_path):
    """After an install, twisted and twisted.plugins are Twisted's own."""
    ours_and_theirs = run(installed / "python", "-c", WHOSE_TWISTED, cwd=tmp_path)
    twisted, plugins, plugin = map(Path, ours_and_theirs.split())
    assert twisted.name == "__init__.py"
    assert (twisted.parent / "internet" / "reactor.py").exists()
    assert plugins == twisted.parent / "plugins" / "__init__.py"
    assert plugin == twisted.parent / "plugins" / "engineio_plugin.py"


def test_the_checkout_shadows_nothing():
    """In a checkout, first on the path, twisted is still Twisted's own."""
    assert not list(PROJECT.joinpath("twisted").rglob("__init__.py"))
    twisted, plugins, plugin = map(
        Path, run(sys.executable, "-c", WHOSE_TWISTED, cwd=PROJECT).split()
    )
    assert PROJECT / "twisted" not in twisted.parents
    assert plugins == twisted.parent / "plugins" / "__init__.py"
    assert plugin == PROJECT / "twisted" / "plugins" / "engineio_plugin.py"
