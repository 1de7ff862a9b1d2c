"""What a client reads of a server's answers, strictly: what is no answer raises."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Answer", "read_answers"]


class Answer(NamedTuple):
    """
    One HTTP answer.

    Attributes:
        status: Its status.
        headers: Its headers, names in lower case.
        body: Its body, or all that followed if that has no end.

    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def read_answers(data: bytes, *, to_head: bool = False) -> list[Answer]:
    """
    Read answers, one behind the other.

    Args:
        data: All that a server wrote on a connection.
        to_head: Whether they answer HEAD, and have no body.

    """
    answers = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, head
        status_line, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = status_line.split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), status_line
        pairs = [line.partition(": ") for line in lines]
        assert all(separator for _, separator, _ in pairs), head
        headers = [(name.lower(), value) for name, _, value in pairs]
        length = dict(headers).get("content-length")
        if to_head or status in ("100", "204"):
            size = 0
        elif length is None and status != "101" and not headers:
            size = 0  # twisted.web's own refusal
        else:
            size = len(data) if length is None else int(length)
        assert size <= len(data), head
        answers.append(Answer(int(status), headers, data[:size]))
        data = data[size:]
    return answers
