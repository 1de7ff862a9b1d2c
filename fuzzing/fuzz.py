"""
One target under atheris: ``python -m fuzzing.fuzz TARGET [options of libFuzzer]``.

Only our own modules are instrumented: those of Twisted and Autobahn would lead the
fuzzer to where we have nothing to learn, and slow it down.
"""

from __future__ import annotations

import resource
import sys

import atheris

from fuzzing import CORPUS, FOUND, TARGETS, module_of

MEMORY = 1 << 30
"""Bytes that a run may have in all: whatever reserves what a header says gets a
MemoryError, which is a finding."""


def main(arguments: list[str]) -> None:
    """Fuzz until told to stop, or until something is found."""
    target, *options = arguments or [""]
    if target not in TARGETS:
        raise SystemExit(f"name a target: {', '.join(TARGETS)}")
    with atheris.instrument_imports(include=["twisted_engineio"]):
        module = module_of(target)
    for guide in getattr(module, "GUIDES", ()):
        atheris.instrument_func(guide)
    learnt = FOUND / target
    learnt.mkdir(parents=True, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    command = [
        f"fuzzing.fuzz {target}",
        str(learnt),  # libFuzzer writes what it learns into the first folder
        str(CORPUS / target),
        f"-artifact_prefix={FOUND}/{target}-",
        "-timeout=10",
        "-keep_seed=1",
        "-max_len=256",
    ]
    if hasattr(module, "TOKENS"):
        words = FOUND / f"{target}.dict"
        words.write_text("".join(map(_word, module.TOKENS)))
        command.append(f"-dict={words}")
    atheris.Setup([*command, *options], module.check)
    atheris.Fuzz()


def _word(token: bytes) -> str:
    """Write a word of libFuzzer's dictionary."""
    return '"{}"\n'.format("".join(f"\\x{byte:02x}" for byte in token))


if __name__ == "__main__":
    main(sys.argv[1:])
