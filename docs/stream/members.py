from shouting import factory
from twisted.web.resource import Resource

from twisted_engineio import EngineIOResource, Reject, Server
from twisted_engineio.stream import StreamApplication


class Members(StreamApplication):
    def admit(self, handshake):
        if handshake.headers.get("authorization") != "Bearer let me in":
            raise Reject(401, "Members only")


server = Server(Members(factory))
root = Resource()
root.putChild(b"shout", EngineIOResource(server))
