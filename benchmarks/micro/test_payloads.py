"""Seconds per polling payload: encoded, decoded."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from twisted_engineio.protocol import codec_v4

MESSAGES: dict[str, list[str | bytes]] = {
    "one of 32 B": ["x" * 32],
    "a hundred of 32 B": ["x" * 32] * 100,
    "a hundred binary of 32 B": [b"x" * 32] * 100,
    "one of 64,000 B": ["x" * 64_000],
    "one binary of 64,000 B": [b"x" * 64_000],
}

payloads = pytest.mark.parametrize("messages", MESSAGES.values(), ids=MESSAGES.keys())


def encode(messages: list[str | bytes]) -> bytes:
    """Write a payload."""
    return codec_v4.encode_payload(messages, binary=False)[0]


@payloads
def test_encode(benchmark: BenchmarkFixture, messages: list[str | bytes]) -> None:
    """What a GET is answered with."""
    benchmark(encode, messages)


@payloads
def test_decode(benchmark: BenchmarkFixture, messages: list[str | bytes]) -> None:
    """What a POST brings."""
    body = encode(messages)
    found = benchmark(lambda: list(codec_v4.decode_payload(body, binary=False)))
    assert len(found) == len(messages)
