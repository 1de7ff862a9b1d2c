"""The recipes of the how-to pages do what the pages say."""

from __future__ import annotations

import sys

import pytest
from doc_blocks import DOCS, blocks_of, run_python
from fakes import RecordingTransport, join
from twisted.web.resource import Resource
from twisted.web.test.requesthelper import DummyRequest

from twisted_engineio import CloseReason

sys.path.insert(0, str(DOCS))

from recipes.members import Members
from recipes.rooms import Chat
from recipes.tickets import Tickets

PAGE = DOCS / "authentication.rst"
POLLING = "EIO=4&transport=polling"


async def find_user(token):
    """Know one user."""
    return "Ada" if token == "secret" else None


# Authentication.


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"Authorization": "Bearer secret"}),
        ("", {"Authorization": "bearer secret", "Cookie": "login=old"}),
        ("", {"Cookie": "a=b; login=secret; c"}),
        ("&ticket=secret", {"Cookie": "a=b"}),
    ],
)
def test_a_member_comes_in_however_the_client_can(make_server, browse, query, headers):
    """By a header, a cookie or the URL; and the session knows who it is."""
    server = make_server(Members(find_user))
    assert browse(server).get(POLLING + query, **headers).answer.status == 200
    (session,) = server.sessions.values()
    assert session.data == "Ada"


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Basic secret"}, {"Cookie": "login"}, {"Cookie": ";=;"}],
)
def test_whoever_shows_nothing_is_refused(make_server, browse, headers):
    """By polling with a status, by WebSocket with a code that a page may read."""
    server = make_server(Members(find_user))
    answer = browse(server).get(POLLING, **headers).answer
    assert answer.status == 401
    assert answer.json() == {"code": 4, "message": "Sign in first"}
    socket = browse(server).upgrade("EIO=4&transport=websocket", **headers)
    assert socket.answer.status == 101
    ((_, closed),) = socket.frames
    assert closed == (4401).to_bytes(2, "big") + b"Sign in first"
    assert not server.sessions
    socket.wire.protocol.connectionLost(None)


def test_a_member_speaks_by_name(make_server, browse):
    """What the session is known as is what the others read."""
    server = make_server(Members(find_user))
    first = browse(server).get(POLLING + "&ticket=secret").answer.open()["sid"]
    query = f"{POLLING}&sid={first}"
    browse(server).post(query, b"4hello")
    server.clock.advance(0)
    assert browse(server).get(query).answer.body == b"4Ada: hello"


def test_a_ticket_lets_one_in_once_and_soon(make_server, browse, clock):
    """The second who shows it is refused, and who comes too late."""
    tickets = Tickets(clock)
    server = make_server(Members(tickets.find_user))
    ticket, late = tickets.issue("Ada"), tickets.issue("Grace")
    statuses = [
        browse(server).get(f"{POLLING}&ticket={each}").answer.status
        for each in (ticket, ticket)
    ]
    assert statuses == [200, 401]
    clock.advance(30)
    assert browse(server).get(f"{POLLING}&ticket={late}").answer.status == 401
    assert tickets.issued == {}


def test_the_page_of_tickets_gives_one_to_whoever_has_signed_in():
    """And it lets that one in; nobody else is given one."""
    blocks = [each for each in blocks_of(PAGE) if each.kind == "python"]
    names = {"root": Resource()}
    run_python(blocks, names)
    names["logins"][b"secret"] = "Ada"

    def post(cookie):
        request = DummyRequest([b"ticket"])
        request.method = b"POST"
        request.getCookie = {b"login": cookie}.get
        body = names["root"].children[b"ticket"].render(request)
        return request.responseCode or 200, body.decode()

    assert post(b"guess") == (401, "Sign in first")
    status, ticket = post(b"secret")
    assert status == 200
    assert names["tickets"].issued == {ticket: "Ada"}
    assert names["server"].application.find_user == names["tickets"].find_user


# Rooms.


@pytest.fixture
def chat(make_server):
    """Give a chat with rooms, and what opens sessions in them."""
    server = make_server(Chat())

    def enter(**query):
        session = join(server, RecordingTransport(), **query)
        session.transport.written.clear()
        return session

    return server.application.rooms, enter


def heard(session):
    """Tell what a session was sent."""
    return [each.data for each in session.transport.written]


def test_a_room_hears_what_is_said_in_it(chat):
    """All but the one who said it, and nobody of another room."""
    _, enter = chat
    one, two = enter(room="a"), enter(room="a")
    other, lobby = enter(room="b"), enter()
    one.receive("hello")
    assert [heard(each) for each in (one, two, other, lobby)] == [[], ["hello"], [], []]
    assert two.transport.written[0] is not None


def test_a_session_leaves_all_its_rooms_when_it_ends(chat, clock):
    """And an empty room is no room."""
    rooms, enter = chat
    one, two = enter(room="a"), enter(room="a")
    rooms.join(one, "b")
    one.fail(CloseReason.TRANSPORT_CLOSE)
    assert rooms.members == {"a": {two}}
    rooms.send("b", "nobody")
    two.close()
    rooms.send("a", "nobody hears")
    assert heard(two) == []
    clock.advance(0)
    two.abort()
    clock.advance(0)
    assert rooms.members == {}
