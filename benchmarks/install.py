"""Fetch the peers, once, into ``build/bench/peers``, in the versions pinned here."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
PEERS = Path(__file__).resolve().parent / "peers"
NODE = BUILD / "peers" / "node"
PYTHON = BUILD / "peers" / "python"


def install_node() -> None:
    """Install engine.io and ws from ``peers/node/package-lock.json``."""
    if _same(PEERS / "node" / "package-lock.json", NODE / "done"):
        return
    NODE.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PEERS / "node" / name, NODE / name)
    subprocess.run(["npm", "ci", "--silent"], cwd=NODE, check=True, timeout=300)
    shutil.copy(PEERS / "node" / "package-lock.json", NODE / "done")


def install_python() -> None:
    """Install python-engineio, uvicorn, uvloop and httptools into their own venv."""
    wanted = PEERS / "python" / "requirements.txt"
    if _same(wanted, PYTHON / "done"):
        return
    print(f"installing python-engineio into {PYTHON}", file=sys.stderr)
    venv.create(PYTHON, with_pip=True, clear=True)
    pip = [str(PYTHON / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "-r", str(wanted)], check=True, timeout=600)
    shutil.copy(wanted, PYTHON / "done")


def _same(wanted: Path, done: Path) -> bool:
    return done.exists() and done.read_bytes() == wanted.read_bytes()
