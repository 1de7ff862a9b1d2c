"""A payload dressed as a script or a form arrives as it was."""

from __future__ import annotations

import contextlib
import json
import subprocess
from urllib.parse import unquote_to_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio import InvalidPacket
from twisted_engineio.exceptions import ErrorCode, Refused
from twisted_engineio.protocol.handshake import parse_query
from twisted_engineio.transports.jsonp import index_of, unwrap, wrap

NASTY = [
    "",
    "4hello\x1e4world",
    "\\",
    "\\\\",
    '"',
    '\\"',
    "'",
    "`${1}`",
    "\n",
    "\r",
    "\r\n",
    "\\n",
    "\\\\n",
    "\\u0041",
    "\u2028",
    "\u2029",
    "\u0085",
    "\ufeff",
    "\x00",
    "\x7f",
    "".join(map(chr, range(256))),
    "</script><script>throw 1</script>",
    "<!--<script>",
    "]]>",
    "*/",
    "//",
    '");throw 1;("',
    "\u20ac\U0001f600\U0010ffff\uffff",
    "__proto__",
]

EVALUATE = """
const vm = require("vm");
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
const seen = cases.map(({ script, index }) => {
    const calls = [];
    const ___eio = { [index]: (...given) => calls.push(given) };
    vm.runInNewContext(Buffer.from(script, "hex").toString("utf8"), { ___eio });
    return calls;
});
process.stdout.write(JSON.stringify(seen));
"""

AS_A_CLIENT_DOES = """
const payloads = JSON.parse(require("fs").readFileSync(0, "utf8"));
const forms = payloads.map((payload) => {
    // engine.io-client 3.5, lib/transports/polling-jsonp.js
    const value = payload.replace(/\\\\n/g, "\\\\\\n").replace(/\\n/g, "\\\\n");
    return new URLSearchParams({ d: value }).toString();
});
process.stdout.write(JSON.stringify(forms));
"""


def node(script: str, data: object) -> list:
    """Run JavaScript on some data, given and taken as JSON."""
    done = subprocess.run(
        ["node", "--eval", script],
        input=json.dumps(data).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


# An answer.


@pytest.mark.external
def test_a_script_hands_over_the_identical_string():
    """Whatever a payload holds, JavaScript evaluates the script to just that."""
    cases = [
        {"script": wrap(payload, index).hex(), "index": index}
        for payload in NASTY
        for index in ("0", "12")
    ]
    expected = [[[payload]] for payload in NASTY for _ in range(2)]
    assert node(EVALUATE, cases) == expected


@pytest.mark.external
def test_every_character_of_the_bmp_arrives():
    """No character but halves of pairs, which no payload holds, is lost or changed."""
    payloads = [
        "".join(map(chr, range(start, start + 4096)))
        for start in range(0, 0x10000, 4096)
        if start != 0xD000
    ]
    payloads.append("".join(map(chr, range(0xD000, 0xD800))))
    cases = [{"script": wrap(each, "0").hex(), "index": "0"} for each in payloads]
    assert node(EVALUATE, cases) == [[[each]] for each in payloads]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_script_is_one_line_of_one_call(payload):
    """Nothing in a payload ends the string, the line or the script."""
    script = wrap(payload, "3").decode()
    assert script.startswith('___eio[3]("')
    assert script.endswith('");')
    assert not set(script) & set("<\n\r\u2028\u2029")
    assert json.loads(script[len("___eio[3](") : -len(");")]) == payload


# Its index.


@pytest.mark.parametrize("index", ["0", "7", "12", "007", "9" * 16])
def test_the_index_is_digits(index):
    assert index_of({"j": index, "transport": "polling"}) == index


def test_without_an_index_there_is_no_jsonp():
    assert index_of({"transport": "polling"}) is None


@pytest.mark.parametrize(
    "query",
    [
        b"j=",
        b"j",
        b"j=-1",
        b"j=1.5",
        b"j=1e3",
        b"j=+1",
        b"j=%201",
        b"j=1%0A",
        b"j=a",
        b"j=0];alert(1);[0",
        b"j=__proto__",
        b"j=%D9%A3",
        b"j=%C2%B2",
        b"j=%FF",
        b"j=1&j=x",
        b"j=" + b"1" * 17,
        b"j=" + b"1" * 8192,
    ],
)
def test_an_index_that_is_no_number_is_a_bad_request(query):
    """It would become code, or a script that no callback hears."""
    with pytest.raises(Refused) as caught:
        index_of(parse_query(query))
    assert caught.value.code is ErrorCode.BAD_REQUEST


# A POST.


@pytest.mark.parametrize(
    ("form", "payload"),
    [
        (b"d=", b""),
        (b"d=4hello", b"4hello"),
        (b"d=4a%1E4b", b"4a\x1e4b"),
        (b"d=4a+b%2Bc", b"4a b+c"),
        (b"d=4a%3D%26=b", b"4a=&=b"),
        (b"%64=4a", b"4a"),
        (b"x=1&d=4a&y", b"4a"),
        (b"d=4%C3%A9\xc3\xa9%ff", b"4\xc3\xa9\xc3\xa9\xff"),
        (rb"d=4a\nb", b"4a\nb"),
        (rb"d=4a\\nb", rb"4a\nb"),
        (rb"d=4a\\\nb", rb"4a\\nb"),
        (rb"d=4a\n\n\\n\nb", b"4a\n\n\\n\nb"),
        (rb"d=4a%5Cnb%5C%5Cn", b"4a\nb\\n"),
        (rb"d=4\\", rb"4\\"),
        (rb"d=4\t\\t", rb"4\t\\t"),
        (b"d=4a%0D%0Ab", b"4a\r\nb"),
        (b"d=4=3D=0A=\n=\r\n==_ \t\r\n", b"4=3D=0A=\n=\r\n==_ \t\r\n"),
        (b"d=4%3d%3D3D%25%0a%5F", b"4==3D%\n_"),
    ],
)
def test_a_form_holds_a_payload(form, payload):
    r"""``\n`` is a newline, ``\\n`` a backslash and an n."""
    assert unwrap(form) == payload


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"4hello",
        b"D=4hello",
        b"e=4hello",
        b"d=4a&d=4b",
        b"d[]=4a",
        b"d=%",
        b"d=%4",
        b"d=%4g",
        b"d=%u0041",
        b"d=4a&%64=4b",
        b"&&&&&&&&d=4a",
        b"\xff",
    ],
)
def test_a_form_without_one_payload_is_invalid(form):
    with pytest.raises(InvalidPacket):
        unwrap(form)


@pytest.mark.external
def test_what_a_client_sends_arrives():
    """
    A payload comes through the client's escapes and a browser's form.

    But for a backslash that is followed by a newline: the client writes it like a
    backslash followed by an n, and nobody can tell.
    """
    payloads = [each for each in NASTY if "\\\n" not in each]
    forms = node(AS_A_CLIENT_DOES, payloads)
    assert [unwrap(form.encode()).decode() for form in forms] == payloads


@given(st.text(alphabet="\\n\n4 a\u20ac\U0001f600"))
def test_escapes_are_undone_as_the_reference_does(payload):
    """Whatever the backslashes, a client's escapes are undone."""
    escaped = payload.replace("\\n", "\\\n").replace("\n", "\\n")
    expected = payload.replace("\\\n", "\\n")
    assert unwrap(urlencode({"d": escaped}).encode()).decode() == expected


@given(
    st.lists(
        st.binary(max_size=2)
        | st.integers(0, 255).map(lambda each: b"%%%02x" % each)
        | st.sampled_from([b"=", b"=\n", b"=\r\n", b" \n", b"==", b"_", b"%3D"])
    ).map(b"".join)
)
def test_percent_encoding_is_undone_as_python_does(value):
    """Though not by Python: whatever quoted-printable has besides is left as it is."""
    value = value.replace(b"&", b"").replace(b"\\", b"")
    with contextlib.suppress(InvalidPacket):
        assert unwrap(b"d=" + value) == unquote_to_bytes(value.replace(b"+", b" "))


@given(st.binary())
def test_any_form_gives_a_payload_or_is_invalid(form):
    for each in (form, b"d=" + form):
        with contextlib.suppress(InvalidPacket):
            assert isinstance(unwrap(each), bytes)
