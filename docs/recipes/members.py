"""Admit clients with a token: in a header, a cookie, or the query."""

from twisted_engineio import Admission, Application, Reject


class Members(Application):
    def __init__(self, find_user):
        self.find_user = find_user  # token to name or None; may be async

    async def admit(self, handshake):
        user = await self.find_user(token_of(handshake))
        if user is None:
            raise Reject(401, "Sign in first", close_code=4401)
        return Admission(data=user)

    def message_received(self, session, data):
        session.server.broadcast(f"{session.data}: {data}")


def token_of(handshake):
    """Return the token: of the header, else of the cookie, else of the query."""
    scheme, _, token = handshake.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token
    for pair in handshake.headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == "login":
            return value
    return handshake.query.get("ticket", "")
