"""Every option has a default that works and refuses what cannot."""

from __future__ import annotations

import dataclasses
import re

import pytest

from twisted_engineio import Config, ConfigError
from twisted_engineio.config import OPTIONS
from twisted_engineio.config.option import NUMBERS, Kind, document


def names_of(*kinds, none=False):
    """Name the options of some kinds: those that may be None, or the others."""
    return [
        name
        for name, each in OPTIONS.items()
        if each.kind in kinds and bool(each.none) is none
    ]


_SECONDS = names_of(Kind.INTERVAL, Kind.SECONDS)
_AMOUNTS = names_of(Kind.AMOUNT)
_AMOUNTS_OR_NONE = names_of(Kind.AMOUNT, none=True)
_RATES = names_of(Kind.RATE, none=True)

DEFAULTS = {
    "ping_interval": 25.0,
    "ping_timeout": 20.0,
    "upgrade_timeout": 10.0,
    "close_timeout": 30.0,
    "request_timeout": 60.0,
    "max_payload": 1_000_000,
    "transports": ("polling", "websocket"),
    "allow_upgrades": True,
    "jsonp": False,
    "cors": (),
    "cors_credentials": False,
}


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items())
def test_the_defaults_are_the_reference_s(name, value):
    """Whoever sets nothing gets what other servers of the protocol have."""
    assert getattr(Config(), name) == value


@pytest.mark.parametrize("name", _SECONDS)
@pytest.mark.parametrize(
    "value", [0, -1, float("nan"), float("inf"), 10**400, True, "25", None, 1 + 2j]
)
def test_seconds_are_above_zero_and_finite(name, value):
    """A time that cannot be waited for is refused by the option's name."""
    with pytest.raises(ConfigError, match=f"^{name}: .*seconds"):
        Config(**{name: value})


@pytest.mark.parametrize("name", _SECONDS)
@pytest.mark.parametrize("value", [1, 0.001])
def test_seconds_may_be_whole_or_not(name, value):
    """An int of seconds is as good as a float."""
    assert getattr(Config(**{name: value}), name) == value


@pytest.mark.parametrize("name", _AMOUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.5, 1e6, True, "9", None])
def test_amounts_are_whole_numbers_above_zero(name, value):
    """Half a byte is no limit."""
    with pytest.raises(ConfigError, match=f"^{name}: must be a whole number above 0"):
        Config(**{name: value})


def test_every_number_is_checked():
    """No option whose type is a number is of another kind."""
    numbers = {
        each.name
        for each in dataclasses.fields(Config)
        if str(each.type).split()[0] in ("int", "float")
    }
    assert numbers == {*names_of(*NUMBERS), *names_of(*NUMBERS, none=True)}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_described(name):
    """Its help is whole sentences, its number has a unit, its None a meaning."""
    option = OPTIONS[name]
    assert re.fullmatch(r"[A-Z`].+\.", option.help)
    assert re.fullmatch(r"[A-Z0-9`].+\.|ws .+\.", option.reason)
    assert bool(option.unit) is (option.kind in NUMBERS)
    (field,) = [each for each in dataclasses.fields(Config) if each.name == name]
    assert bool(option.none) is ("None" in str(field.type))
    assert (option.kind is Kind.FLAG) is (field.type == "bool")


def test_help_shows_the_options():
    """help(Config) has each option, in order, with its unit and default."""
    text = " ".join(Config.__doc__.split())
    for name, each in OPTIONS.items():
        described = f"{name}: {each.help} Default: {each.shown_default}."
        assert described in text
        text = text.partition(described)[2]
    assert max(map(len, Config.__doc__.splitlines())) <= 88


def test_a_class_without_a_docstring_can_be_documented():
    """Python -OO removes docstrings."""

    class Bare:
        pass

    document(Bare, {"max_payload": OPTIONS["max_payload"]})
    assert Bare.__doc__.startswith("\n\n    Args:\n        max_payload: Maximum")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ping_interval", "25 seconds"),
        ("max_buffered", "16777216 bytes"),
        ("max_sessions_per_address", "no limit"),
        ("allow_upgrades", "on"),
        ("jsonp", "off"),
        ("transports", "polling,websocket"),
        ("trusted_proxies", "none"),
        ("cookie", "none"),
        ("over_rate", "pause"),
    ],
)
def test_a_default_is_shown_with_its_unit(name, shown):
    """As an operator reads it."""
    assert OPTIONS[name].shown_default == shown


@pytest.mark.parametrize("name", _AMOUNTS_OR_NONE)
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "9", float("inf"), 10**400])
def test_a_number_of_sessions_is_whole_or_none(name, value):
    """None is no limit, and nothing else is."""
    assert getattr(Config(**{name: None}), name) is None
    assert getattr(Config(**{name: 1}), name) == 1
    with pytest.raises(ConfigError, match=f"^{name}: must be a whole number above 0, "):
        Config(**{name: value})


@pytest.mark.parametrize("name", _RATES)
@pytest.mark.parametrize(
    "value", [0, -1.0, True, "9", float("nan"), float("inf"), 10**400]
)
def test_a_rate_is_a_number_or_none(name, value):
    """None is no limit, and nothing else is; half a message a second is a rate."""
    assert getattr(Config(**{name: None}), name) is None
    assert getattr(Config(**{name: 0.5}), name) == 0.5
    with pytest.raises(ConfigError, match=f"^{name}: must be a number above 0, or"):
        Config(**{name: value})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"low_water_mark": 9, "high_water_mark": 8}, "^low_water_mark: must not be"),
        ({"high_water_mark": 8}, "^high_water_mark: 8 is below low_water_mark, 16384"),
        ({"low_water_mark": 65_537}, "^low_water_mark: must not be above .*, 65536"),
        ({"transports": ()}, "^transports: name at least one"),
        ({"transports": "polling"}, "^transports: must be a list of strings"),
        ({"transports": [b"polling"]}, "^transports: must be a list of strings"),
        ({"transports": ["poling"]}, "^transports: 'poling' is unknown; known are"),
        ({"cors": "*"}, "^cors: must be a list of origins"),
        ({"cors": [1]}, "^cors: 1 is not an origin"),
        ({"cors_methods": "GET"}, "^cors_methods: must be a list of strings"),
        ({"ping_jitter": -0.1}, "^ping_jitter: must be from 0 to ping_interval"),
        ({"ping_jitter": 25.1}, "^ping_jitter: must be from 0 to ping_interval"),
        ({"over_rate": "drop"}, "^over_rate: must be pause or close, not 'drop'"),
        ({"over_rate": None}, "^over_rate: must be pause or close, not None"),
        ({"cors": ["*"], "cors_credentials": True}, "^cors_credentials: name the"),
    ],
)
def test_what_cannot_work_is_refused(options, problem):
    """The message begins with the option's name and says what is wrong."""
    with pytest.raises(ConfigError, match=problem):
        Config(**options)


NO_NAMES = ["", " ", "GET,POST", "X Y", "X:", "X\r\nY: z", "PÖST", "\u0416", '"X"']


@pytest.mark.parametrize(
    "name", ["cors_methods", "cors_allowed_headers", "cors_exposed_headers"]
)
@pytest.mark.parametrize("value", NO_NAMES)
def test_what_cors_names_fits_into_a_header(name, value):
    """Else each preflight would fail, or its answer mean something else."""
    with pytest.raises(ConfigError, match="must be one name of ASCII") as caught:
        Config(**{name: ["X-Good", value]})
    assert caught.value.option == name
    assert repr(value) in caught.value.problem
    Config(**{name: ["X-Good", "PROPFIND", "*", "x_y"]})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (("polling", "polling"), ("polling",)),
        (["websocket", "polling", "websocket"], ("websocket", "polling")),
        (("sse", "sse", "polling", "sse"), ("sse", "polling")),
    ],
)
def test_a_transport_that_is_named_twice_is_one(given, kept):
    """Its clients would be told to upgrade to it twice."""
    assert Config(transports=given).transports == kept


@pytest.mark.parametrize(
    "origin",
    [
        "example.com",
        "https://",
        "://example.com",
        "https://example.com/",
        "",
        "https://user@example.com",
        "https://*.example.com",
        "https://a b",
        "http://a?b",
    ],
)
def test_what_is_no_origin_is_refused(origin):
    """A list that could match no page is a mistake, not a setting."""
    with pytest.raises(ConfigError, match="is not an origin like"):
        Config(cors=[origin])


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com",
        "http://localhost:8080",
        "http://[::1]:8080",
        "capacitor://localhost",
        "file://",
        "null",
        "*",
    ],
)
def test_origins_are_taken(origin):
    """A scheme and a host, with or without a port, or the asterisk."""
    assert Config(cors=[origin]).cors == (origin,)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ping_intervall", "did you mean ping_interval?"),
        ("pingTimeout", "did you mean ping_timeout?"),
        ("buffer_pool_size", "known are"),
    ],
)
def test_an_unknown_name_names_the_nearest(name, hint):
    """A typo is told what it was meant to be; else the known names are listed."""
    with pytest.raises(ConfigError) as caught:
        Config(**{name: 1})
    assert caught.value.option == name
    assert hint in caught.value.problem


def test_options_are_given_by_name():
    """Nobody has to remember which number comes first."""
    with pytest.raises(TypeError):
        Config(25.0)


def test_a_config_never_changes():
    """Neither by assignment, nor through the list that it was given."""
    origins = ["https://example.com"]
    config = Config(cors=origins)
    origins.append("*")
    assert config.cors == ("https://example.com",)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_payload = 1


def test_a_copy_is_checked_too():
    """dataclasses.replace works, and refuses what the class refuses."""
    config = dataclasses.replace(Config(), max_payload=5)
    assert config.max_payload == 5
    with pytest.raises(ConfigError):
        dataclasses.replace(config, max_payload=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allow_eio3", "no"),
        ("jsonp", 1),
        ("cookie", "io"),
        ("cors", 5),
        ("initial_packet", {"a": 1}),
        ("initial_packet", "\ud800"),
        ("ping_jitter", "1"),
        ("ping_jitter", float("nan")),
        ("transports", 5),
        ("trusted_proxies", 5),
    ],
)
def test_a_value_of_a_wrong_kind_is_a_config_error(name, value):
    """Not a TypeError from within, and not a handshake that fails every time."""
    with pytest.raises(ConfigError, match=name):
        Config(**{name: value})


def test_a_pattern_of_bytes_is_no_origin():
    """It could not be compared: every request with an Origin would fail."""
    with pytest.raises(ConfigError, match="a pattern of text, not of bytes"):
        Config(cors=[re.compile(b"https://a.example")])
