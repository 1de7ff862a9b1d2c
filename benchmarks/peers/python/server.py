"""python-engineio as an ASGI application: echo, and ``!`` to everybody."""

from __future__ import annotations

import os

import engineio

eio = engineio.AsyncServer(
    async_mode="asgi",
    ping_interval=float(os.environ["BENCH_PING_INTERVAL"]),
    ping_timeout=float(os.environ["BENCH_PING_TIMEOUT"]),
)


@eio.on("message")
async def message(sid: str, data: str | bytes) -> None:
    """Send it back, or to everybody."""
    if isinstance(data, str) and data.startswith("!"):
        for other in list(eio.sockets):
            await eio.send(other, data)
    else:
        await eio.send(sid, data)


app = engineio.ASGIApp(eio)
