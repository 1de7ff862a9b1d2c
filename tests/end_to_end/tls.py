"""A server with TLS, and clients that trust it."""

from __future__ import annotations

from pathlib import Path

from stages import Serve, Stage
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.ssl import Certificate, optionsForClientTLS

__all__ = ["secure", "trusting"]


async def secure(
    serve: Serve, certificate: Path, own_site: bool, **options: object
) -> Stage:
    """Start a server with TLS; its clients speak HTTP/1.1."""
    endpoint = f"ssl:0:privateKey={certificate}:interface=127.0.0.1"
    stage = await serve(endpoint=endpoint, own_site=own_site, **options)
    trusting(stage, certificate)
    stage.scheme = "https"
    return stage


def trusting(stage: Stage, certificate: Path, *protocols: bytes) -> None:
    """Let a server's clients trust its certificate, and offer these protocols."""
    root = Certificate.loadPEM(certificate.read_bytes())
    options = optionsForClientTLS(
        "localhost", root, acceptableProtocols=list(protocols) or None
    )
    plain = TCP4ClientEndpoint(reactor, "127.0.0.1", stage.port)
    stage.client = wrapClientTLS(options, plain)
