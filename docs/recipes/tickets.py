"""Tickets: each lets one client in, once, soon."""

import secrets


class Tickets:
    def __init__(self, clock, seconds=30.0):
        self.clock = clock
        self.seconds = seconds
        self.issued = {}

    def issue(self, user):
        """Give a ticket to somebody who has shown who they are."""
        ticket = secrets.token_urlsafe(16)
        self.issued[ticket] = user
        self.clock.callLater(self.seconds, self.issued.pop, ticket, None)
        return ticket

    async def find_user(self, ticket):
        """Take a ticket: whose it was, or None."""
        return self.issued.pop(ticket, None)
