"""nginx and HAProxy as Services, each with the configuration that our users need."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from string import Template

from programs import free_ports
from running import Service

NGINX = Template("""
daemon off;
# One process, of whoever runs the tests: it reads and writes what that one may.
master_process off;
pid $folder/nginx.pid;
error_log stderr notice;

events {}

http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;

    upstream engineio {
        server 127.0.0.1:$upstream;
        # Clients share these connections.
        keepalive 8;
    }

    map $$http_upgrade $$connection_upgrade {
        default upgrade;
        '' '';
    }

    server {
        listen 127.0.0.1:$port;
        listen 127.0.0.1:$tls_port ssl;
        ssl_certificate $certificate;
        ssl_certificate_key $certificate;

        location / {
            proxy_pass http://engineio;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $$http_upgrade;
            proxy_set_header Connection $$connection_upgrade;
            proxy_set_header X-Forwarded-For $$proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $$scheme;
            proxy_set_header X-Forwarded-Host $$http_host;
        }
    }
}
""")

HAPROXY = Template("""
global
    maxconn 256

defaults
    # A client that breaks off its poll is gone, and its session with it.
    option abortonclose
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h

frontend by_header
    mode http
    bind 127.0.0.1:$port
    bind 127.0.0.1:$tls_port ssl crt $certificate
    option forwardfor
    http-request set-header X-Forwarded-Proto https if { ssl_fc }
    http-request set-header X-Forwarded-Proto http unless { ssl_fc }
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    default_backend by_header

backend by_header
    mode http
    # Clients share connections to the server.
    http-reuse always
    server engineio 127.0.0.1:$upstream

frontend by_line
    mode http
    bind 127.0.0.1:$line_port
    default_backend by_line

backend by_line
    mode http
    server engineio 127.0.0.1:$behind send-proxy

frontend by_bytes
    mode tcp
    bind 127.0.0.1:$bytes_port
    default_backend by_bytes

backend by_bytes
    mode tcp
    server engineio 127.0.0.1:$behind send-proxy-v2
""")


class Proxy(Service):
    """A proxy; ``port`` speaks HTTP and ``tls_port`` HTTPS."""

    tls_port: int


class Nginx(Proxy):
    """Debian's nginx, which tells of its clients in X-Forwarded-* headers."""

    name = "nginx"

    def __init__(
        self, command: str, upstream: int, certificate: Path, log: Path
    ) -> None:
        port, self.tls_port = free_ports(2)
        folder = log.with_suffix("")
        folder.mkdir()
        config = folder / "nginx.conf"
        config.write_text(
            NGINX.substitute(
                folder=folder,
                port=port,
                tls_port=self.tls_port,
                upstream=upstream,
                certificate=certificate,
            )
        )
        options = ["-e", "stderr", "-p", str(folder), "-c", str(config)]
        super().__init__([command, *options], port, log)


StartNginx = Callable[[Service], Nginx]


class HAProxy(Proxy):
    """
    Debian's HAProxy, which tells of its clients in every way that it can.

    Attributes:
        line_port: HTTP, handed on behind a line of the PROXY protocol, version 1.
        bytes_port: TCP, handed on behind the bytes of version 2.

    """

    name = "HAProxy"

    def __init__(
        self, command: str, upstream: tuple[int, int], certificate: Path, log: Path
    ) -> None:
        port, self.tls_port, self.line_port, self.bytes_port = free_ports(4)
        config = log.with_suffix(".cfg")
        config.write_text(
            HAPROXY.substitute(
                port=port,
                tls_port=self.tls_port,
                line_port=self.line_port,
                bytes_port=self.bytes_port,
                upstream=upstream[0],
                behind=upstream[1],
                certificate=certificate,
            )
        )
        super().__init__([command, "-db", "-f", str(config)], port, log)

    def ended_well(self, status: int) -> bool:
        """HAProxy in the foreground is ended by the signal itself."""
        return status in (0, -signal.SIGTERM)
