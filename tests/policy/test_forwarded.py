"""Behind trusted proxies a client is who they say; no one else is believed."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted_engineio import ConfigError
from twisted_engineio.policy.forwarded import ForwardedClient, TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"])
PEER = "10.0.0.1"
ME = "203.0.113.7"
FORGED = "198.51.100.1"


def x_forwarded(nodes: str, **others: str) -> dict[str, str]:
    return {
        "x-forwarded-for": nodes,
        **{f"x-forwarded-{name}": value for name, value in others.items()},
    }


def forwarded(value: str) -> dict[str, str]:
    return {"forwarded": value}


# Who is trusted.


@pytest.mark.parametrize(
    ("networks", "told"),
    [
        ("10.0.0.0/8", "list of strings"),
        ([""], "''"),
        (["nonsense"], "'nonsense'"),
        (["10.0.0.1/8"], "host bits set"),
        (["10.0.0.0/33"], "'10.0.0.0/33'"),
        (["10.0.0.0/8", "Unix"], "'Unix'"),
        ([5], "5"),
    ],
)
def test_a_network_that_is_none_is_a_mistake_of_the_operator(networks, told):
    with pytest.raises(ConfigError, match=told) as caught:
        TrustedProxies(networks)
    assert caught.value.option == "trusted_proxies"


@pytest.mark.parametrize(
    "peer",
    ["203.0.113.1", "192.0.2.2", "2001:db9::1", "::ffff:203.0.113.1", "", "who?", None],
)
def test_a_peer_that_is_not_trusted_changes_nothing(peer):
    """A forged header counts for nothing."""
    headers = x_forwarded(FORGED, proto="https", host="evil.example")
    assert PROXIES.client(peer, headers) == ForwardedClient(peer, None, None)
    assert PROXIES.client(peer, forwarded(f"for={FORGED}")) == ForwardedClient(peer)


@pytest.mark.parametrize(
    "peer", [PEER, "192.0.2.1", "2001:db8::5", "::ffff:10.1.2.3", "2001:db8::5%eth0"]
)
def test_a_peer_that_is_trusted_is_believed(peer):
    assert PROXIES.client(peer, x_forwarded(ME)) == ForwardedClient(ME)


def test_a_unix_socket_is_trusted_by_name():
    """A proxy on the same machine often uses one; it has no address."""
    assert TrustedProxies(["unix"]).client(None, x_forwarded(ME)) == ForwardedClient(ME)
    assert TrustedProxies(["unix"]).client(None, {}) == ForwardedClient(None)
    assert TrustedProxies(["unix"]).client(PEER, x_forwarded(ME)) == ForwardedClient(
        PEER
    )
    assert TrustedProxies([]).client(None, x_forwarded(ME)) == ForwardedClient(None)


# X-Forwarded-*.


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({}, ForwardedClient(PEER)),
        (x_forwarded(""), ForwardedClient(PEER)),
        (x_forwarded(ME), ForwardedClient(ME)),
        (x_forwarded(f"{FORGED}, {ME}"), ForwardedClient(ME)),
        (x_forwarded(f"{FORGED},{ME},10.9.9.9,2001:db8::1"), ForwardedClient(ME)),
        (x_forwarded(f"{FORGED}, {ME} ,, 10.9.9.9,"), ForwardedClient(ME)),
        (x_forwarded("10.3.3.3, 10.2.2.2"), ForwardedClient("10.3.3.3")),
        (x_forwarded(f"{ME}:4711"), ForwardedClient(ME)),
        (x_forwarded("[2001:DB9::0:1]:4711"), ForwardedClient("2001:db9::1")),
        (x_forwarded("[2001:db9::1]"), ForwardedClient("2001:db9::1")),
        (x_forwarded("2001:db9::1"), ForwardedClient("2001:db9::1")),
        (x_forwarded(f"::ffff:{ME}"), ForwardedClient(ME)),
        (x_forwarded(f"{FORGED}, ::ffff:10.1.1.1"), ForwardedClient(FORGED)),
    ],
)
def test_the_first_untrusted_address_from_the_right_is_the_client(headers, client):
    assert PROXIES.client(PEER, headers) == client


@pytest.mark.parametrize(
    "node",
    [
        "unknown",
        "_hidden",
        "-",
        "'",
        "localhost",
        "1.2.3",
        "256.1.1.1",
        "01.1.1.1",
        "1.2.3.4.5",
        "1.2.3.4:",
        "1.2.3.4:123456",
        "1.2.3.4:\u0663",
        "1.2.3.\u0664",
        "[1.2.3.4]",
        "[::1",
        "[::g]",
        "[::1]x",
        "1:2",
        ":",
        "::1%<script>",
        "fe80::1%eth0",
        "::1::2",
        "\0",
        "x" * 8000,
        "1" * 8000,
        ":" * 8000,
    ],
)
def test_an_address_that_is_none_ends_the_walk_at_the_proxy_that_told_it(node):
    """The nearest address that is known is the best there is."""
    headers = x_forwarded(f"{FORGED}, {node}, 10.2.2.2", proto="https")
    assert PROXIES.client(PEER, headers) == ForwardedClient("10.2.2.2", True)


@pytest.mark.parametrize(
    ("scheme", "is_secure"),
    [
        ("https", True),
        ("HTTPS", True),
        ("wss", True),
        ("http", False),
        ("ws", False),
        ("ftp", None),
        ("", None),
        ("http, https", True),
        ("https, http", False),
    ],
)
def test_the_scheme_is_what_the_nearest_proxy_saw(scheme, is_secure):
    """It is told also where no address is."""
    assert PROXIES.client(PEER, {"x-forwarded-proto": scheme}).is_secure is is_secure
    headers = x_forwarded(ME, proto=scheme)
    assert PROXIES.client(PEER, headers) == ForwardedClient(ME, is_secure)


def test_a_scheme_and_a_host_for_each_address_are_the_client_s_own():
    """Of lists as long as that of the addresses the same places count."""
    headers = x_forwarded(
        f"{FORGED}, {ME}, 10.2.2.2",
        proto="http, https, http",
        host="evil.example, example.com, inner.example",
    )
    assert PROXIES.client(PEER, headers) == ForwardedClient(ME, True, "example.com")


def test_one_scheme_and_one_host_count_for_all_addresses():
    """Many a proxy hands on what the first one said."""
    headers = x_forwarded(f"{ME}, 10.2.2.2", proto="https", host="example.com:8443")
    assert PROXIES.client(PEER, headers) == ForwardedClient(
        ME, True, "example.com:8443"
    )


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("example.com", "example.com"),
        ("example.com:80", "example.com:80"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ("a_b.example", "a_b.example"),
        ("example.com/", None),
        ("user@example.com", None),
        ("example.com:port", None),
        ("exa mple.com", None),
        ("\xe4.example", None),
        ("a\r\nb", None),
    ],
)
def test_a_host_that_is_none_is_not_told(host, found):
    assert PROXIES.client(PEER, x_forwarded(ME, host=host)) == ForwardedClient(
        ME, None, found
    )


# Forwarded.


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("", ForwardedClient(PEER)),
        (";", ForwardedClient(PEER)),
        (f"for={ME}", ForwardedClient(ME)),
        (f"For = {ME}", ForwardedClient(PEER)),
        (
            f"FOR={ME};PROTO=HTTPS;Host=Example.com",
            ForwardedClient(ME, True, "Example.com"),
        ),
        (f'for="{ME}:4711"', ForwardedClient(ME)),
        (f"for={ME}:4711", ForwardedClient(ME)),
        (f'for="{ME}:_port.1-x"', ForwardedClient(ME)),
        ('for="[2001:db9::1]:47"', ForwardedClient("2001:db9::1")),
        ("for=[2001:db9::1]", ForwardedClient("2001:db9::1")),
        (
            f'for={ME};by=10.0.0.1;proto=http ; host="a.b:80";',
            ForwardedClient(ME, False, "a.b:80"),
        ),
        (
            f"for={FORGED}, for={ME};proto=https , for=10.2.2.2",
            ForwardedClient(ME, True),
        ),
        (f"for={ME},, ,for=10.2.2.2,", ForwardedClient(ME)),
        (f"for={ME};proto=https,for=10.2.2.2;proto=http", ForwardedClient(ME, True)),
        (f"for={ME},for=10.2.2.2;proto=https", ForwardedClient(ME)),
        ("for=10.3.3.3;proto=https", ForwardedClient("10.3.3.3", True)),
        ("proto=https", ForwardedClient(PEER, True)),
        ("for=unknown;proto=https", ForwardedClient(PEER, True)),
        (f"for={FORGED}, for=_hidden, for=10.2.2.2", ForwardedClient("10.2.2.2")),
        ('for=""', ForwardedClient(PEER)),
        ('for="\\2\\03.0.113.7";x="\\"\\\\"', ForwardedClient(ME)),
        (f'for={ME};host="a\\"b"', ForwardedClient(ME)),
        (f'for={ME};x="\\\\"', ForwardedClient(ME)),
        (f'for={ME};x="a,b;for={FORGED},c"', ForwardedClient(ME)),
    ],
)
def test_an_element_tells_of_one_client(value, client):
    """RFC 7239, 4."""
    assert PROXIES.client(PEER, forwarded(value)) == client


@pytest.mark.parametrize(
    "beginning",
    [
        'for="',
        'for="\\',
        'for="x\\"',
        "garbage",
        f"for={FORGED}",
        f'for={FORGED};by="',
        f'for="{FORGED}", for="',
        "=",
        '"',
        "\\",
        "for=10.6.6.6",
        '\\", for=10.6.6.6;a="',
    ],
)
@pytest.mark.parametrize(
    "own", [f"for={ME}", f'for="{ME}"', f'for="{ME}:47";host="a:80"']
)
def test_no_beginning_of_a_client_s_hides_what_a_proxy_appends(beginning, own):
    """Unfinished quoted strings are the client's own loss."""
    assert PROXIES.client(PEER, forwarded(f"{beginning}, {own}")).address == ME


@pytest.mark.parametrize(
    "name",
    [
        f'x", for={FORGED};a="b',
        f"x, for={FORGED}",
        f"x;for={FORGED}",
        f'x\\", for={FORGED};a=\\"b',
        f'x\\\\", for={FORGED};a="',
    ],
)
def test_what_a_proxy_quotes_is_no_element(name):
    """A client's Host header, quoted by a proxy, says nothing but the host."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    value = f'for={ME};host="{quoted}"'
    assert PROXIES.client(PEER, forwarded(value)) == ForwardedClient(ME)
    value = f'host="{quoted}";for={ME}'
    assert PROXIES.client(PEER, forwarded(value)) == ForwardedClient(ME)


@pytest.mark.parametrize("name", ["for", "proto", "host"])
def test_x_forwarded_wins_over_forwarded(name):
    """Nearly every proxy writes the former, and hands on the latter as it came."""
    values = {"for": ME, "proto": "http", "host": "example.com"}
    headers = {
        f"x-forwarded-{name}": values[name],
        "forwarded": f"for={FORGED};proto=https;host=evil.example",
    }
    client = PROXIES.client(PEER, headers)
    assert client.address in {ME, PEER}
    assert client.is_secure is not True
    assert client.host in {None, "example.com"}


def test_empty_headers_win_over_nothing():
    """A header without a value says nothing."""
    headers = x_forwarded(" , ", proto="", host=",") | forwarded(f"for={ME}")
    assert PROXIES.client(PEER, headers) == ForwardedClient(ME)


# Whatever comes.

LIKELY = st.text(alphabet='for=;,"\\ \t:[]._%1aproths/\xff\u0663\r\n')


NAMES = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
IN_TEN = TrustedProxies(["10.0.0.0/8", "unix"])


@given(
    headers=st.dictionaries(st.sampled_from(NAMES), LIKELY | st.text()),
    peer=st.sampled_from([PEER, None]),
)
def test_no_header_raises(headers, peer):
    """Whatever stands in a header gives an address that is one."""
    client = IN_TEN.client(peer, headers)
    if client.address is not None:
        assert str(ip_address(client.address)) == client.address
    assert client.is_secure in {True, False, None}
    assert client.host is None or client.host.isprintable()


clients = st.ip_addresses().filter(lambda each: each not in ip_network("10.0.0.0/8"))
hops = st.lists(st.ip_addresses(network="10.0.0.0/8"))


@given(before=LIKELY, address=clients, via=hops)
def test_what_trusted_proxies_append_is_found_behind_anything(before, address, via):
    """The client's own part of a header never matters."""
    chain = [address, *via]
    told = str(getattr(address, "ipv4_mapped", None) or address)
    headers = x_forwarded(", ".join([before, *map(str, chain)]))
    assert IN_TEN.client(PEER, headers).address == told
    nodes = [
        f'for="[{each}]"' if each.version == 6 else f"for={each}" for each in chain
    ]
    headers = forwarded(", ".join([before, *nodes]))
    assert IN_TEN.client(PEER, headers).address == told


@given(quoted=st.text(alphabet='\\",;=fors1. \t'))
def test_a_quoted_string_is_one_value_whatever_it_holds(quoted):
    escaped = quoted.replace("\\", "\\\\").replace('"', '\\"')
    value = f'for={FORGED},x="{escaped}";for={ME}'
    assert PROXIES.client(PEER, forwarded(value)) == ForwardedClient(ME)


@pytest.mark.parametrize(
    "unit",
    ['"', "\\", '\\"', '"\\', "a=b;", "a=b,", ",", ";", " ", 'a="\\\\";', "=", "\\a"],
)
def test_a_header_of_any_shape_is_read_at_once(unit):
    """No shape makes reading slow; twisted.web lets 16 kB of a header pass."""
    start = time.process_time()
    for tail in ("", '"', 'a="', "for=10.2.2.2,"):
        PROXIES.client(PEER, forwarded(unit * (16_384 // len(unit)) + tail))
    assert time.process_time() - start < 0.5
