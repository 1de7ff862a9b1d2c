"""Redaction of any text, in whatever script it is written."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twisted_engineio.policy.redaction import SECRETS, redact, shorten

WORDS = st.sampled_from([*SECRETS, *"=&?ä日😀\udcff", "%3d", "%26"])
TEXTS = st.lists(WORDS | st.text(max_size=9), max_size=12).map("".join)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("?sid=abcdefghi", "?sid=abcdef..."),
        # Six bytes end within a character.
        ("?sid=abcdeäöü", "?sid=abcde..."),
        ("?sid=abcd日本語", "?sid=abcd..."),
        ("?lastEventId=abc😀😀", "?lastEventId=abc..."),
        ("?sid=äöüäöü&x=ß", "?sid=...&x=ß"),
        ("?sid=ab\udcffcdefgh", "?sid=ab..."),
        ("?sid=\x80\x80\x80\x80", "?sid=..."),
        ("?token=日本&y=語", "?token=...&y=語"),
    ],
)
def test_what_is_left_of_an_id_is_ascii(text, redacted):
    """Ours have nothing else, and a cut through a character would not be text."""
    assert redact(text) == redacted


@given(text=TEXTS)
@example(text="sid=aaaaa\xe9")
@example(text="\ud800sid=\ud800aaaaa\udfff%")
def test_any_text_becomes_text(text):
    """Whatever stands in a field, the next one is still there."""
    assert redact(text + "&next=ä").endswith("&next=ä")


@given(sid=st.binary(max_size=20))
def test_any_id_is_shortened(sid):
    """At most six characters of it are left, and none of a short one."""
    short = shorten(sid)
    beginning = short.removesuffix(b"...")
    assert sid.startswith(beginning)
    assert beginning.isascii()
    assert len(beginning) <= (6 if len(sid) > 6 else 0)
