"""
Proxies between a client and a server, each with a bad habit.

Threads and plain sockets: nothing of what is tested helps to test it.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import threading
from pathlib import Path
from typing import NoReturn

import pytest
from programs import free_port
from running import Service

STOP_DEADLINE = 10.0
CHUNK = 65_536


class Proxy:
    """A TCP proxy in front of a server; a subclass has the habit."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = [self._listener]
        self._over = False
        threading.Thread(target=self._accept, daemon=True).start()

    def fail(self, what: str) -> NoReturn:
        """End the test with the server's own words."""
        self.service.fail(f"behind a {type(self).__name__}, {what}")

    def close(self) -> None:
        """Drop every connection, and accept no more."""
        self._over = True
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                server = socket.create_connection(("127.0.0.1", self.service.port))
                self._sockets.append(server)
                if self._over:  # it may have passed these two by
                    self.close()
                Connection(self, client, server)

    def answer(self, connection: Connection, data: bytes) -> None:
        """Pass on a piece of what the server sends on a stream of events."""
        connection.client.sendall(data)

    def answer_post(self, connection: Connection, data: bytes) -> None:
        """Pass on the answer to a POST of a client that listens to a stream."""
        connection.client.sendall(data)

    def post_begins(self) -> None:
        """See such a POST begin."""

    def ended(self, connection: Connection) -> None:
        """See the server end its side."""


class Connection:
    """A client's connection, and the server's that goes with it."""

    def __init__(
        self, proxy: Proxy, client: socket.socket, server: socket.socket
    ) -> None:
        self.proxy = proxy
        self.client = client
        self.server = server
        self.streams = False
        self.posts = False
        self.quiet = False
        self.seen = b""
        self.budget = 0
        threading.Thread(target=self._upwards, daemon=True).start()
        threading.Thread(target=self._downwards, daemon=True).start()

    def _upwards(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.client.recv(CHUNK):
                line = data.split(b"\r\n", 1)[0]
                if line.startswith(b"GET ") and b"transport=sse" in line:
                    self.seen, self.budget = b"", 0
                    self.streams = True
                if line.startswith(b"POST ") and b"transport=sse" in line:
                    self.posts = True
                    self.proxy.post_begins()
                self.server.sendall(data)
        if not self.quiet:
            self._close(self.server)

    def _downwards(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.server.recv(CHUNK):
                if self.streams:
                    self.proxy.answer(self, data)
                elif self.posts:
                    self.proxy.answer_post(self, data)
                else:
                    self.client.sendall(data)
            self.proxy.ended(self)
        self._close(self.client)

    def _close(self, end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

    def cut(self, *, quietly: bool) -> None:
        """Break it; quietly: the server's side stays, and goes nowhere."""
        self.quiet = quietly
        self._close(self.client)
        if not quietly:
            self._close(self.server)


class CuttingProxy(Proxy):
    """Cuts streams of events after a few bytes, wherever that is, so many times."""

    def __init__(self, service: Service, cuts: int, seed: int) -> None:
        self._chance = random.Random(seed)
        self._streams = 0
        self.left = cuts
        super().__init__(service)

    def answer(self, connection: Connection, data: bytes) -> None:
        # A client that must wait a second each time would make the test a long one.
        data = data.replace(b"retry: 1000", b"retry: 0010")
        if not connection.budget:
            self._streams += 1
            # The first one carries the session's id: without that there is no session.
            least = 1000 if self._streams == 1 else 1
            connection.budget = least + self._chance.randrange(1500)
        if self.left <= 0 or len(data) < connection.budget:
            connection.budget -= min(len(data), connection.budget - 1)
            connection.client.sendall(data)
            return
        self.left -= 1
        connection.client.sendall(data[: connection.budget])
        connection.cut(quietly=self._chance.random() < 0.3)
        raise OSError("cut")


class LateProxy(Proxy):
    """Is slow to pass on that a POST was taken, and sees whether the client waits."""

    def __init__(self, service: Service) -> None:
        self.overlapped = False
        self._open = 0
        self._rival = threading.Event()
        super().__init__(service)

    def post_begins(self) -> None:
        self._open += 1
        if self._open > 1:
            self.overlapped = True
            self._rival.set()

    def answer_post(self, connection: Connection, data: bytes) -> None:
        self._rival.wait(0.2)
        self._open -= 1
        connection.client.sendall(data)


class BufferingProxy(Proxy):
    """Collects a response to its end, whatever its headers say."""

    def __init__(self, service: Service, *, headers_too: bool) -> None:
        self._headers_too = headers_too
        super().__init__(service)

    def answer(self, connection: Connection, data: bytes) -> None:
        connection.seen += data
        if not self._headers_too and b"\r\n\r\n" in connection.seen:
            head, _, body = connection.seen.partition(b"\r\n\r\n")
            if not connection.budget:
                connection.client.sendall(head + b"\r\n\r\n")
                connection.budget = 1
                connection.seen = b"\r\n\r\n" + body

    def ended(self, connection: Connection) -> None:
        with contextlib.suppress(OSError):
            connection.client.sendall(connection.seen.removeprefix(b"\r\n\r\n"))


NGINX = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {upstream};
            proxy_set_header Host $http_host;
            {more}
        }}
    }}
}}
"""


class Nginx(Service):
    """A real nginx in front of a server, with its default buffering."""

    def __init__(self, program: str, service: Service, folder: Path, more: str) -> None:
        port = free_port()
        self.name = f"nginx ({more or 'as it comes'})"
        self.service = service
        # Else root's nginx reads and writes as somebody to whom the folder is closed.
        user = "user root;" if os.geteuid() == 0 else ""
        text = NGINX.format(
            folder=folder, port=port, upstream=service.url, more=more, user=user
        )
        config = folder / "nginx.conf"
        config.write_text(text)
        command = [program, "-p", str(folder), "-c", str(config)]
        command += ["-e", str(folder / "error.log")]
        super().__init__(command, port, folder / "output.log")

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail("nginx did not stop", pytrace=False)
