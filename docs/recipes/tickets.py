"""Tickets: each admits one client, once, within a short time."""

import secrets


class Tickets:
    def __init__(self, clock, seconds=30.0):
        self.clock = clock
        self.seconds = seconds
        self.issued = {}

    def issue(self, user):
        """Create a ticket for a user who is signed in."""
        ticket = secrets.token_urlsafe(16)
        self.issued[ticket] = user
        self.clock.callLater(self.seconds, self.issued.pop, ticket, None)
        return ticket

    async def find_user(self, ticket):
        """Redeem a ticket: return its user, or None."""
        return self.issued.pop(ticket, None)
