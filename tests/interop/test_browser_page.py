"""Pages that stay connected while their server is restarted: docs/browser.rst."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from doc_blocks import blocks_of
from players import Player
from programs import free_port
from running import HERE, PROJECT, Ours

DOCS = PROJECT / "docs"


@pytest.fixture
def page(node: str, tmp_path: Path) -> Path:
    """Make the page as docs/browser.rst says: what its commands copy, and its files."""
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    install, *others = blocks_of(DOCS / "browser.rst")[0].text.splitlines()
    assert install == "npm install engine.io-client"  # the tests have done so
    for line in others:
        subprocess.run(line, cwd=tmp_path, shell=True, check=True)
    for name in ("index.html", "connection.mjs"):
        shutil.copy(DOCS / "browser" / name, tmp_path / "page")
    return tmp_path / "page"


def visit(
    browser: Player, folder: Path, restarts: list[bool], connected: str, *options: str
) -> Any:
    """
    Visit the page in a folder, and restart its server meanwhile.

    Args:
        browser: The browser.
        folder: What is served.
        restarts: For each restart, whether the server is killed.
        connected: The selector of what is in the page while it is connected.
        options: The server's.

    """
    port = free_port()
    command = ("--static", str(folder), *options)
    server = Ours(command, folder.parent / "0.log", port)
    server.wait_until_it_accepts()
    shot = str(PROJECT / "build" / f"stay-{connected.strip('#.: ').split(':')[0]}.png")
    browser.begin(
        "stay", server, connected=connected, restarts=len(restarts), screenshot=shot
    )
    for number, killed in enumerate(restarts):
        reply = browser.reply()
        if "error" in reply:
            server.fail(reply["error"])
        if killed:
            server.process.kill()
            server.process.wait()
        else:
            server.stop()
        server = Ours(command, folder.parent / f"{number + 1}.log", port)
        server.wait_until_it_accepts()
    reply = browser.reply()
    if "error" in reply:
        server.fail(reply["error"])
    server.stop()
    return reply["facts"]


WAYS = {
    "stopped": ([False], ()),
    "killed": ([True], ()),
    "twice": ([False, True], ()),
    "polling": ([True, False], ("--transports", "polling")),
    "no upgrades": ([True, False], ("--no-upgrades",)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_page_with_an_import_map_comes_back(
    browser: Player, page: Path, way: str
) -> None:
    """However its server went away, it connects to the next one and goes on."""
    restarts, options = WAYS[way]
    facts = visit(browser, page, restarts, "#status:text-is('Connected')", *options)
    said = [f"visit {number}" for number in range(len(restarts) + 1)]
    assert facts == {
        "written": said,
        "wide": [0, 0],
        "complaints": [],
        "foreign": [],
    }


@pytest.mark.parametrize("way", WAYS)
def test_the_tutorial_s_chat_comes_back(
    browser: Player, tmp_path: Path, way: str
) -> None:
    """Its page, which has a client of its own, likewise."""
    folder = tmp_path / "page"
    folder.mkdir()
    shutil.copy(PROJECT / "examples" / "chat.html", folder / "index.html")
    restarts, options = WAYS[way]
    upgrades = "polling" not in options and "--no-upgrades" not in options
    connected = "#wire.websocket" if upgrades else "#wire.polling"
    app = ("--app", "docs.tutorial.chat:Chat")
    facts = visit(browser, folder, restarts, connected, *app, *options)
    said = []
    for number in range(len(restarts) + 1):
        said += ["Welcome, Guest 1", f"Guest 1: visit {number}"]
    assert facts == {
        "written": said,
        "wide": [0, 0],
        "complaints": [],
        "foreign": [],
    }


BY_HAND = (HERE / "connection_by_hand.mjs").read_text()


@pytest.fixture
def run(node: str, tmp_path: Path) -> Any:
    """Run JavaScript beside connection.mjs, timers in its hands; return its facts."""
    package = tmp_path / "node_modules" / "engine.io-client"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    shutil.copy(HERE / "fake_client.mjs", package / "index.js")
    shutil.copy(DOCS / "browser" / "connection.mjs", tmp_path)

    def run(script: str) -> Any:
        whole = f"{BY_HAND}{script}\nconsole.log(JSON.stringify(facts));"
        (tmp_path / "test.mjs").write_text(whole)
        done = subprocess.run(
            [node, "test.mjs"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_the_delay_grows_and_is_random(run: Any) -> None:
    """From a second to half a minute, and any part of it."""
    assert run("""
    new Connection("http://x", { closed: (_, delay) => facts.push(delay) });
    for (let number = 0; number < 7; number++) {
      await turn();
      sockets.at(-1).close();
      await fire();
    }
    for (const part of [0.5, 0]) {
      chance = part;
      sockets.at(-1).close();
      await fire();
    }
    """) == [1000, 2000, 4000, 8000, 16000, 30000, 30000, 15000, 0]


def test_only_a_steady_session_counts_as_no_failure(run: Any) -> None:
    """One that opens and closes at once, again and again, is a failure each time."""
    assert run("""
    new Connection("http://x", { closed: (_, delay) => facts.push(delay) });
    for (const steady of [false, false, true, false]) {
      await turn();
      sockets.at(-1).heard.open();
      if (steady) await fire();
      sockets.at(-1).close();
      await fire();
    }
    """) == [1000, 2000, 1000, 2000]


def test_a_server_that_does_not_answer_is_given_up(run: Any) -> None:
    """After twenty seconds, and then asked again."""
    assert run("""
    const on = { closed: (reason) => facts.push(reason) };
    const connection = new Connection("http://x", on);
    await turn();
    facts.push(timers[0].ms);
    await fire();
    facts.push(connection.state);
    """) == [20000, "forced close", "waiting"]


def test_each_session_has_options_of_its_own(run: Any) -> None:
    """A ticket can be fetched for each; if that fails, it is tried again later."""
    assert run("""
    const tickets = [{ query: { ticket: 1 } }, null, { query: { ticket: 2 } }];
    new Connection("http://x", {
      closed: (reason) => facts.push(reason),
      async options() {
        return tickets.shift() ?? Promise.reject(new Error("no ticket"));
      },
    });
    await turn();
    sockets.at(-1).close();
    await fire();
    await fire();
    facts.push(...sockets.map((each) => each.options.query.ticket));
    """) == ["forced close", "Error: no ticket", 1, 2]


def test_it_ends_for_good_and_leaves_nothing_behind(run: Any) -> None:
    """No timer and no listener, whatever it was doing; and nothing more is sent."""
    assert (
        run("""
    for (const steps of [[], ["turn"], ["turn", "open"], ["turn", "open", "close"]]) {
      const connection = new Connection("http://x", {});
      for (const step of steps)
        await (step === "turn" ? turn() : sockets.at(-1).heard[step]("gone"));
      connection.close();
      await turn();
      const sent = connection.send("late");
      facts.push([connection.state, sent, timers.length, online.size]);
    }
    """)
        == [["ended", False, 0, 0]] * 4
    )


def test_it_does_not_wait_when_the_network_is_back(run: Any) -> None:
    """The browser says so; while there is a session that changes nothing."""
    assert run("""
    const connection = new Connection("http://x", {});
    await turn();
    sockets.at(-1).heard.open();
    for (const each of online) each();
    facts.push(connection.state, connection.send("hi"), sockets.at(-1).sent);
    sockets.at(-1).heard.close("offline");
    facts.push(timers[0].ms, connection.send("lost"));
    for (const each of online) each();
    facts.push(timers.length, timers[0].ms);
    await fire();
    facts.push(sockets.length);
    """) == ["open", True, ["hi"], 1000, False, 1, 0, 2]
