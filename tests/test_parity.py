"""docs/parity.rst forgets nothing of the reference, and names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

NAMES = {
    "Options": """
        pingTimeout pingInterval upgradeTimeout maxHttpBufferSize allowRequest
        transports allowUpgrades perMessageDeflate perMessageDeflate.threshold
        perMessageDeflate.serverNoContextTakeover
        perMessageDeflate.clientNoContextTakeover
        perMessageDeflate.serverMaxWindowBits perMessageDeflate.clientMaxWindowBits
        perMessageDeflate.zlibDeflateOptions perMessageDeflate.zlibInflateOptions
        perMessageDeflate.concurrencyLimit httpCompression httpCompression.threshold
        wsEngine initialPacket cookie cors allowEIO3 path addTrailingSlash
        destroyUpgrade destroyUpgradeTimeout""",
    "Cookie options": """
        name path httpOnly sameSite secure domain maxAge expires encode partitioned
        priority""",
    "CORS options": """
        origin methods allowedHeaders exposedHeaders credentials maxAge
        preflightContinue optionsSuccessStatus""",
    "Names of the package": """
        Server BaseServer Socket Transport transports parser protocol listen attach
        ErrorCallback uServer uServer.compression uServer.idleTimeout
        uServer.maxBackpressure""",
    "Server: methods and properties": """
        opts clients clientsCount middlewares httpServer upgrades verify use close
        generateId handshake createTransport handleRequest handleUpgrade attach
        onWebTransportSession errors errorMessages""",
    "Server: events": """
        connection connection_error initial_headers headers flush drain""",
    "Socket: methods and properties": """
        id protocol request remoteAddress readyState transport upgrading upgraded send
        send.compress send.callback write close close.discard""",
    "Socket: events": """
        open message data close error packet packetCreate heartbeat upgrading upgrade
        flush drain""",
    "Transport: methods and properties": """
        sid name writable protocol readyState supportsBinary upgradesTo handlesUpgrades
        discard onRequest onPacket onData onError onClose send close doClose
        maxHttpBufferSize httpCompression perMessageDeflate JSONP WebTransport""",
    "Transport: events": "ready drain packet error close headers",
    "Why a session ends": """
        transport-close transport-error ping-timeout parse-error forced-close
        server-close""",
    "Why a request is refused": """
        UNKNOWN_TRANSPORT UNKNOWN_SID BAD_HANDSHAKE_METHOD BAD_REQUEST FORBIDDEN
        UNSUPPORTED_PROTOCOL_VERSION""",
}
"""What the reference's types and source name, by the page's sections; not what is
private there. A word of two has a dash here."""


def read_tables(page: str) -> dict[str, list[list[str]]]:
    """Give each section's rows: the reference's name, ours, and the tests."""
    sections = re.split(r"^(\S.*)\n-+\n", page, flags=re.M)[1:]
    return {
        title: [
            [" ".join(cell.split()) for cell in re.split(r"^     -", row, flags=re.M)]
            for row in re.split(r"^   \* -", text, flags=re.M)[2:]
        ]
        for title, text in zip(sections[::2], sections[1::2], strict=True)
    }


TABLES = read_tables((ROOT / "docs" / "parity.rst").read_text(encoding="utf-8"))
ROWS = [(title, *row) for title, rows in TABLES.items() for row in rows]


def test_there_is_a_table_for_everything():
    """The page has the sections that are known here, in this order."""
    assert list(TABLES) == list(NAMES)


@pytest.mark.parametrize("section", NAMES)
def test_no_name_is_forgotten_or_made_up(section):
    """Each name has one row."""
    listed = [row[0].strip("`").replace(" ", "-") for row in TABLES[section]]
    assert sorted(listed) == sorted(NAMES[section].split())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}, {row[1]}")
def test_a_row_names_tests_that_exist(row):
    """At least one; a row without a test says that a thing is not here, and why."""
    _, _, here, tests = row
    named = re.findall(r"``(tests/\w+(?:/\w+)*\.py)::(test_\w+)``", tests)
    assert " ".join(f"``{path}::{name}``" for path, name in named) == tests
    assert bool(named) is not here.startswith("Not here: ")
    for path, name in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {name}\(", source, re.M), f"{path}::{name}"
