"""Errors carry data, make their own sentence, and show whose fault they are."""

from __future__ import annotations

import pytest

from twisted_engineio import (
    Application,
    CloseReason,
    ConfigError,
    EngineIOError,
    ErrorCode,
    InvalidPacket,
    PayloadTooLarge,
    ProtocolError,
    Refused,
    Reject,
    SessionClosed,
    Unavailable,
)
from twisted_engineio.exceptions import require


class Chat(Application):
    """An application."""


SENTENCES = [
    (ConfigError("cors", "is odd"), "cors: is odd"),
    (SessionClosed("abcdefghij", None), "session abcdef... is closing"),
    (
        SessionClosed("abcdefghij", CloseReason.SERVER_CLOSE, "closing"),
        "session abcdef... is closing (server close)",
    ),
    (
        SessionClosed("abcdefghij", None, "opening"),
        "session abcdef... is opening: send once session_opened is called",
    ),
    (
        SessionClosed("abcdefghij", CloseReason.PING_TIMEOUT),
        "session abcdef... is closed (ping timeout)",
    ),
    (Reject(401, "Who are you?"), "401 Who are you?"),
    (
        Refused(ErrorCode.UNKNOWN_SID, "no session has this id"),
        "Session ID unknown: no session has this id",
    ),
    (InvalidPacket("it is empty"), "invalid packet: it is empty"),
    (PayloadTooLarge(9, 8), "payload of 9 bytes is over the limit of 8 bytes"),
    (PayloadTooLarge(2, 1), "payload of 2 bytes is over the limit of 1 byte"),
    (PayloadTooLarge(1, 0), "payload of 1 byte is over the limit of 0 bytes"),
]

BODIES = {
    ErrorCode.UNKNOWN_TRANSPORT: b'{"code":0,"message":"Transport unknown"}',
    ErrorCode.UNKNOWN_SID: b'{"code":1,"message":"Session ID unknown"}',
    ErrorCode.BAD_HANDSHAKE_METHOD: b'{"code":2,"message":"Bad handshake method"}',
    ErrorCode.BAD_REQUEST: b'{"code":3,"message":"Bad request"}',
    ErrorCode.FORBIDDEN: b'{"code":4,"message":"Forbidden"}',
    ErrorCode.UNSUPPORTED_PROTOCOL_VERSION: (
        b'{"code":5,"message":"Unsupported protocol version"}'
    ),
}


@pytest.mark.parametrize(("error", "sentence"), SENTENCES)
def test_an_error_makes_its_own_sentence(error, sentence):
    """str() of an error is a whole sentence, and the error is one of ours."""
    assert str(error) == sentence
    assert isinstance(error, EngineIOError)


def test_the_client_s_errors_have_a_class_of_their_own():
    """What a client did wrong is told apart from everybody else's mistakes."""
    of_clients = {Refused, InvalidPacket, PayloadTooLarge}
    assert of_clients <= set(ProtocolError.__subclasses__())
    assert issubclass(ConfigError, ValueError)


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_its_json(code):
    """The body is the protocol's, without spaces and without the context."""
    assert Refused(code, "secret").to_json() == BODIES[code]


@pytest.mark.parametrize("code", ErrorCode)
def test_only_forbidden_has_a_status_of_its_own(code):
    """Every refusal is a 400 but "Forbidden", a 403."""
    status = 403 if code is ErrorCode.FORBIDDEN else 400
    assert Refused(code, "").status == status


def test_a_rejection_says_forbidden_in_the_application_s_words():
    """The code stays the protocol's, the message is the application's."""
    assert Reject().to_json() == BODIES[ErrorCode.FORBIDDEN]
    assert Reject(401, 'no "entry"').to_json() == (
        b'{"code":4,"message":"no \\"entry\\""}'
    )


@pytest.mark.parametrize("status", [0, 200, 399, 600])
def test_a_rejection_is_an_error_status(status):
    """A refusal with a status of success is the application's mistake."""
    with pytest.raises(ValueError, match="400 to 599"):
        Reject(status)


def test_close_reasons_are_the_reference_s_words():
    """What an application compares with is what other servers say."""
    assert [each.value for each in CloseReason] == [
        "transport close",
        "transport error",
        "ping timeout",
        "parse error",
        "forced close",
        "server close",
        "payload too large",
        "slow client",
        "replay overflow",
        "application error",
        "rate exceeded",
    ]


@pytest.mark.parametrize("code", [0, 1000, 3999, 5000])
def test_a_rejection_s_close_code_is_of_private_use(code):
    """RFC 6455, 7.4.2: 4000 to 4999."""
    with pytest.raises(ValueError, match="4000 to 4999"):
        Reject(close_code=code)
    assert Reject(close_code=4000).close_code == 4000


def test_a_rejection_s_headers_are_text():
    """What cannot be sent is refused where it is written, and not in mid-answer."""
    with pytest.raises(TypeError, match="Retry-After"):
        Reject(503, headers={"Retry-After": 5})


def test_a_rejection_s_status_comes_first():
    """Whoever gives only a sentence is shown where it belongs."""
    with pytest.raises(TypeError, match=r"a number: use Reject\(403, 'no'\)"):
        Reject("no")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (Chat, "Server takes an Application, not the class Chat: use Chat()"),
        (dict, "Server takes an Application, not the class dict"),
        (None, "Server takes an Application, not None"),
    ],
)
def test_what_is_of_the_wrong_kind_is_told_what_is_wanted(given, wanted):
    """A class in place of its instance is the mistake that is made most."""
    with pytest.raises(TypeError) as caught:
        require(Application, given, "Server")
    assert str(caught.value) == wanted
    require(Application, Chat(), "Server")


@pytest.mark.parametrize(
    ("wait", "seconds"), [(0.0, 1), (1.2, 2), (86_400, 86_400), (1e300, 86_400)]
)
def test_nobody_is_asked_to_wait_longer_than_a_day(wait, seconds):
    """However low the rate: and in whole seconds, at least one."""
    error = Unavailable(503, "full", retry_after=wait)
    assert error.retry_after == seconds
    assert error.headers == {"Retry-After": str(seconds)}
