"""What fuzzing found, replayed without a fuzzer; and that each target can fail."""

from __future__ import annotations

import binascii
import json
import re
import sys
import tracemalloc

import pytest

from fuzzing import CORPUS, TARGETS, module_of, work
from fuzzing import __main__ as report
from twisted_engineio import Packet, PacketType
from twisted_engineio.policy.cors import Cors
from twisted_engineio.protocol import codec_v3, codec_v4
from twisted_engineio.session.revision import REVISION_4
from twisted_engineio.transports.websocket import frames as fastlane
from twisted_engineio.web import resource
from twisted_engineio.web.fast_http import HandshakeInfo
from twisted_engineio.web.http1.channel import EngineIOChannel

INPUTS = [
    pytest.param(path.parent.name, path, id=f"{path.parent.name}/{path.name}")
    for path in sorted(CORPUS.glob("*/*"))
]
MEMORY = 16 << 20
"""Bytes that checking one input may take at any time: a header may say 2 ** 63."""


@pytest.mark.parametrize(("target", "path"), INPUTS)
def test_what_was_found_once_is_not_found_again(target, path, monkeypatch):
    """Every input that is kept holds to its target's invariant, in bounded memory."""
    monkeypatch.setattr(work, "EVERY", 1)
    check = module_of(target).check
    tracemalloc.start()
    try:
        check(path.read_bytes())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_says_its_invariant_and_has_a_corpus(target):
    """A sentence, then more of them, and inputs with names."""
    first, blank, *more = (module_of(target).__doc__ or "").strip().splitlines()
    assert first.endswith(".")
    assert blank == ""
    assert more
    names = [each.name for each in (CORPUS / target).iterdir()]
    assert len(names) > 5
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", each) for each in names)


def test_every_file_of_the_corpus_is_small_and_some_target_s():
    """A corpus is not a heap."""
    assert sorted(each.name for each in CORPUS.iterdir()) == list(TARGETS)
    assert all(each.stat().st_size <= 1000 for each in CORPUS.glob("*/*"))


def test_a_finding_is_told_with_its_file_and_the_command_that_shows_it_again():
    """Nobody has to look for it."""
    log = "#7 NEW\nAssertionError: no\nTest unit written to /tmp/lane-crash-1\n"
    told = report.told(report.Outcome("lane", 77, log, 3.0))
    assert "lane: FOUND something (7 inputs, 3 s)" in told
    assert "AssertionError: no" in told
    assert "-m fuzzing.replay lane /tmp/lane-crash-1\n" in told
    assert "nothing found" in report.told(report.Outcome("lane", 0, "#7\n", 3.0))


def lax(text):
    """Read base64 as Python does when nobody asks it to be strict."""
    return binascii.a2b_base64(text)


def unescaped(payload, index):
    """Wrap a payload as JSON alone."""
    return f"___eio[{index}]({json.dumps(payload)});".encode()


# What to break, and in what way, for each target to see.
SABOTAGE = {
    "codec_v3": [
        (codec_v3, "_from_units", lambda packet, _: codec_v3._from_text(packet)),
        (codec_v3, "_to_length", lambda digits: int(digits)),
        (codec_v4, "from_base64", lax),
    ],
    "codec_v4": [
        (codec_v4, "from_base64", lax),
        (codec_v4, "_BARE", {"": Packet(PacketType.NOOP)}),
    ],
    "door": [
        (HandshakeInfo, "origin", property(lambda self: None)),
        ("twisted_engineio.web.fast_http", "_OTHER", frozenset()),
        (EngineIOChannel, "take_admission", lambda self: None),
    ],
    "handshake": [
        (resource, "index_of", lambda query: query.get("j")),
        (resource.EngineIOResource, "_check_origin", lambda *_: None),
        ("twisted_engineio.server.admission", "revision_of", lambda *_: REVISION_4),
    ],
    "headers": [
        (Cors, "_is_listed", lambda self, origin: "listed.example" in origin),
        ("twisted_engineio.policy.forwarded", "_hops", lambda _: iter(())),
    ],
    "jsonp": [
        ("fuzzing.targets.jsonp", "wrap", unescaped),
        ("fuzzing.targets.jsonp", "unwrap", lambda form: form.partition(b"=")[2]),
    ],
    "lane": [
        (fastlane, "_KINDS", (0x81, 0x82, 0xC1)),
        (fastlane, "unmask", lambda payload, mask: payload),
        (fastlane, "head", lambda kind, length: bytes((0x80 | kind, 126, length))),
    ],
    "sse": [
        ("fuzzing.targets.sse", "escape", lambda payload: payload),
        (
            "twisted_engineio.transports.sse.replay.ReplayBuffer",
            "can_resume",
            lambda *_: True,
        ),
    ],
}


@pytest.mark.parametrize(
    ("target", "broken"),
    [(target, each) for target in TARGETS for each in SABOTAGE[target]],
    ids=lambda value: value if isinstance(value, str) else value[1],
)
def test_a_target_sees_what_is_broken(target, broken, monkeypatch, logged):
    """A check that cannot fail is none: its corpus alone finds this."""
    where, name, instead = broken
    # A fresh module: what breaks in the middle leaves it in disorder.
    monkeypatch.delitem(sys.modules, f"fuzzing.targets.{target}", raising=False)
    check = module_of(target).check
    if isinstance(where, str):
        monkeypatch.setattr(f"{where}.{name}", instead)
    else:
        monkeypatch.setattr(where, name, instead)

    def check_all() -> None:
        for path in sorted((CORPUS / target).iterdir()):
            check(path.read_bytes())

    with pytest.raises(Exception):  # noqa: B017, PT011  whatever it raises is a finding
        check_all()
    logged.clear()
