from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver


class Shout(LineReceiver):
    def connectionMade(self):
        self.sendLine(b"Say something.")

    def lineReceived(self, line):
        self.sendLine(line.upper())
        if line == b"quit":
            self.transport.loseConnection()


factory = Factory.forProtocol(Shout)
