"""TLS for the tests: a certificate, and a server that has it."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from stages import Serve, Stage
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.ssl import Certificate, optionsForClientTLS

__all__ = ["make_certificate", "secure", "trusting"]


def make_certificate(path: Path) -> Path:
    """Write a certificate for localhost, signed by itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


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
