"""What a client in memory reads: HTTP answers, chunks, frames; whole or in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio.testing.lines import HUNG_UP, Answer, HttpLine, frame, read_frames


class Sent:
    """A connection that takes what is sent."""

    def __init__(self):
        self.data = b""

    def send(self, data):
        self.data += data


@pytest.fixture
def line():
    line = HttpLine()
    line.transport = Sent()
    return line


@pytest.fixture(params=[1, 7, 1000])
def tell(request, line):
    """Give a line bytes, in pieces."""

    def tell_in_pieces(data):
        for at in range(0, len(data), request.param):
            line.data_received(data[at : at + request.param])

    return tell_in_pieces


def test_an_answer_with_a_length(line, tell):
    """Status, headers in lower case, body; then the next."""
    answers = []
    for _ in range(2):
        line.ask(b"GET", answers.append)
        tell(b"HTTP/1.1 404 Not here\r\nContent-Length: 3\r\nX-Y: a: b\r\n\r\nyes")
    said = Answer(404, {"content-length": "3", "x-y": "a: b"}, b"yes")
    assert answers == [said, said]
    assert line.transport.data == b"GETGET"


def test_an_answer_in_chunks(line, tell):
    """Its head at once, then each chunk, and nothing at the end."""
    answers, chunks = [], []
    line.ask(b"GET", answers.append, chunks.append)
    tell(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert [each.status for each in answers] == [200]
    tell(b"3\r\none\r\n10\r\nsixteen letters!\r\n")
    assert chunks == [b"one", b"sixteen letters!"]
    tell(b"0\r\n\r\n")
    assert chunks[-1] == b""
    line.connection_closed()
    assert len(chunks) == 3


def test_chunks_that_break_off(line, tell):
    """Are at an end too."""
    chunks = []
    line.ask(b"GET", lambda _: None, chunks.append)
    tell(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\no")
    line.connection_closed()
    assert chunks == [b""]


def test_a_connection_that_leaves_http(line, tell):
    """What follows a 101 comes as it is."""
    answers, heard = [], []
    line.ask(b"GET", answers.append, heard.append)
    tell(b"HTTP/1.1 101 Switching Protocols\r\n\r\nanything\r\n")
    assert [each.status for each in answers] == [101]
    assert b"".join(heard) == b"anything\r\n"


def test_an_upgrade_that_is_refused_has_a_body(line, tell):
    """And nothing follows."""
    answers, heard = [], []
    line.ask(b"GET", answers.append, heard.append)
    tell(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    line.connection_closed()
    assert answers == [Answer(403, {"content-length": "2"}, b"no")]
    assert heard == []


def test_a_server_that_hangs_up(line):
    """Instead of an answer; without a question it is no news."""
    answers = []
    line.connection_closed()
    line.ask(b"GET", answers.append)
    line.connection_closed()
    assert answers == [HUNG_UP]


@given(
    st.lists(st.binary(max_size=300) | st.sampled_from([b"x" * 70_000]), max_size=5),
    st.data(),
)
def test_frames_in_pieces(payloads, data):
    """However a server's frames are cut, they are read whole."""
    wire = b"".join(as_server(each) for each in payloads)
    cut = data.draw(st.integers(0, len(wire)))
    first, rest = read_frames(wire[:cut])
    second, rest = read_frames(rest + wire[cut:])
    assert first + second == [(2, each) for each in payloads]
    assert rest == b""


def as_server(payload):
    """The frame without its mask."""
    masked = bytearray(frame(payload))
    masked[1] &= 0x7F
    at = len(masked) - len(payload) - 4
    return bytes(masked[:at]) + payload
