"""What clients and the bridge say to each other, as JSON."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio.wamp.messages import BadRequest, Op, WampRequest, read, write

ADD = {"op": "call", "id": 1, "uri": "com.example.add"}


def bad(said) -> BadRequest:
    """Say something that is no request."""
    data = said if isinstance(said, (str, bytes)) else json.dumps(said)
    with pytest.raises(BadRequest) as caught:
        read(data)
    return caught.value


def nested(depth):
    """So many lists, one in another."""
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_call():
    """Arguments may be left out."""
    assert read(json.dumps(ADD)) == WampRequest(op=Op.CALL, id=1, uri="com.example.add")
    whole = {**ADD, "args": [1, None, {"a": [2.5]}], "kwargs": {"b": True}}
    assert read(json.dumps(whole)) == WampRequest(
        op=Op.CALL,
        id=1,
        uri="com.example.add",
        args=[1, None, {"a": [2.5]}],
        kwargs={"b": True},
    )


def test_a_publication_needs_no_id():
    """Without one it is not answered."""
    request = read('{"op": "publish", "uri": "com.example.chat", "args": ["hi"]}')
    assert request.op is Op.PUBLISH
    assert request.id is None


def test_a_subscription_may_be_volatile():
    """And is not, by default."""
    asked = {"op": "subscribe", "id": "a", "uri": "com.example.tick"}
    assert read(json.dumps(asked)).volatile is False
    assert read(json.dumps({**asked, "volatile": True})).volatile is True
    assert read('{"op": "unsubscribe", "id": 2, "uri": "x"}').op is Op.UNSUBSCRIBE


def test_bytes_are_text_behind_u_0000():
    """At any depth, both ways."""
    asked = {**ADD, "args": ["\0aGk=", ["\0"]], "kwargs": {"k": {"l": "\0AAE="}}}
    request = read(json.dumps(asked))
    assert request.args == [b"hi", [b""]]
    assert request.kwargs == {"k": {"l": b"\x00\x01"}}
    written = write("result", id=1, args=request.args, kwargs=request.kwargs)
    back = json.loads(written.data)
    assert (back["args"], back["kwargs"]) == (asked["args"], asked["kwargs"])


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"{}", "a request must be text, not binary"),
        ("", "this is not JSON"),
        ("{", "this is not JSON"),
        ("[" * 100_000, "lists and objects may be nested 32 deep"),
        ('{"a":' * 33, "lists and objects may be nested 32 deep"),
        ('"' + "\\" * 99_999 + "[" * 33, "this is not JSON"),
        ("9" * 5_000, "this is not JSON"),
        ('{"op": NaN}', "this is not JSON"),
        ("[]", "a request must be a JSON object"),
        ("null", "a request must be a JSON object"),
        ({}, "op must be one of call, publish, subscribe, unsubscribe"),
        ({**ADD, "op": "cal"}, "op must be one of"),
        ({**ADD, "op": ["call"]}, "op must be one of"),
        ({**ADD, "arg": []}, "call accepts op, id, uri, args, kwargs only"),
        ({**ADD, "volatile": True}, "call accepts op, id, uri, args, kwargs"),
        ({**ADD, "op": "subscribe", "args": []}, "subscribe accepts op, id, uri, vol"),
        ({**ADD, "op": "subscribe", "volatile": 1}, "volatile must be true or false"),
        ({"op": "call", "uri": "a"}, "call requires an id, for its answer"),
        ({"op": "subscribe", "uri": "a"}, "subscribe requires an id, for its answer"),
        ({**ADD, "id": 1.5}, "id must be a whole number below 2**53, or text"),
        ({**ADD, "id": True}, "id must be"),
        ({**ADD, "id": 2**53}, "id must be"),
        ({**ADD, "id": "x" * 257}, "id must be"),
        ({**ADD, "id": "\ud800"}, "id must be"),
        ({**ADD, "id": [1]}, "id must be"),
        ({"op": "call", "id": 1}, "uri must be words joined by dots"),
        ({**ADD, "uri": ""}, "uri must be"),
        ({**ADD, "uri": 5}, "uri must be"),
        ({**ADD, "uri": "com..add"}, "uri must be"),
        ({**ADD, "uri": "com.add."}, "uri must be"),
        ({**ADD, "uri": "com.#"}, "uri must be"),
        ({**ADD, "uri": "com.add\n"}, "uri must be"),
        ({**ADD, "uri": "a" * 257}, "uri must be"),
        ({**ADD, "uri": "com.\udfff"}, "text must not contain half a surrogate pair"),
        ({**ADD, "args": {}}, "args must be a list"),
        ({**ADD, "kwargs": []}, "kwargs must be an object"),
        ({**ADD, "kwargs": {"options": 1}}, "kwargs must not contain self, procedure"),
        ({**ADD, "kwargs": {"self": 1}}, "kwargs must not contain self, procedure"),
        ({**ADD, "kwargs": {"\ud800": 1}}, "half a surrogate pair"),
        ({**ADD, "args": [{"\ud800": 1}]}, "half a surrogate pair"),
        ({**ADD, "args": ["\ud800"]}, "half a surrogate pair"),
        ({**ADD, "args": ["\0!"]}, "text after U+0000 must be base64"),
        ({**ADD, "args": ["\0\u00e9"]}, "text after U+0000 must be base64"),
        ({**ADD, "args": [2**63]}, "a whole number is outside 64 bits"),
        ({**ADD, "args": [-(2**63) - 1]}, "a whole number is outside 64 bits"),
        ('{"op":"call","id":1,"uri":"a","args":[1e999]}', "a number is too large"),
        ({**ADD, "args": nested(32)}, "lists and objects may be nested 32 deep"),
    ],
)
def test_what_is_wrong_is_told_in_words(said, problem):
    """What was wrong, and what would be right; nothing that the client made up."""
    assert problem in bad(said).problem


def test_the_edges_are_inside():
    """The largest id, the longest words, the deepest lists, the largest numbers."""
    asked = {**ADD, "id": 2**53 - 1, "uri": "a" * 256, "args": nested(31)}
    assert read(json.dumps(asked)).args == nested(31)
    asked = {**ADD, "id": "x" * 256, "args": [2**63 - 1, -(2**63)]}
    assert read(json.dumps(asked)).args == asked["args"]


def test_many_lists_beside_each_other_are_not_deep():
    """And brackets in text are no lists, whatever is escaped before them."""
    args = [[], {}, "[" * 99, '\\"[[[', "}" * 9] * 50
    assert read(json.dumps({**ADD, "args": args})).args == args


@pytest.mark.parametrize("piece", ['\\"', '"', "\\", '"\\', "[]", '["'])
def test_nothing_is_read_twice_to_judge_the_depth(piece):
    """Half a megabyte of quotes and backslashes would else take minutes."""
    assert bad(("[" * 16 + "]" * 16) * 2 + piece * 250_000).problem


def test_a_bad_request_comes_back_by_its_id():
    """If that could be read."""
    assert bad({"op": "call", "id": 7, "uri": ""}).id == 7
    assert bad({"op": "call", "id": [7], "uri": ""}).id is None
    assert bad("[]").id is None


def test_what_is_empty_is_left_out():
    """An answer is as short as it can be."""
    assert write("subscribed", id=1).data == '{"op":"subscribed","id":1}'
    assert write("event", uri="a", args=("é",)).data == (
        '{"op":"event","uri":"a","args":["é"]}'
    )
    error = write("error", error="e", args=["what"], kwargs={"k": 1})
    assert error.data == '{"op":"error","error":"e","args":["what"],"kwargs":{"k":1}}'


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), "\ud800"])
def test_what_json_has_not_is_not_written(value):
    """It raises before anything is sent."""
    with pytest.raises((TypeError, ValueError)):
        write("event", args=[value])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text()
    | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    st.text() | JSON.map(json.dumps) | st.dictionaries(st.text(), JSON).map(json.dumps)
)
def test_whatever_is_said_is_a_request_or_none(said):
    """No other exception comes out of reading."""
    with contextlib.suppress(BadRequest):
        assert isinstance(read(said), WampRequest)


@given(args=st.lists(JSON), kwargs=st.dictionaries(st.text(), JSON))
def test_what_passes_can_be_sent_on(args, kwargs):
    """What is read is UTF-8 and finite all through, and is written back the same."""
    said = {**ADD, "args": args, "kwargs": kwargs}
    try:
        request = read(json.dumps(said))
    except BadRequest:
        return
    back = json.loads(write("x", args=request.args, kwargs=request.kwargs).data)
    assert back.get("args", []) == args
    assert back.get("kwargs", {}) == kwargs
