"""A proxy on the loopback: tunnels by CONNECT, and plain HTTP.

    async with proxying() as proxy:
        proxy.leads("8.8.8.8:443", files.base)

Every address that it is asked for leads where a test says, and to nothing (502) otherwise.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from yarl import URL

_HEAD_END: Final = b"\r\n\r\n"


@dataclass
class Proxy:
    """What it was asked for, and what it is told to do."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Request lines, without the version."""
    heads: list[str] = field(default_factory=list)
    login: str | None = None
    """USER:PASSWORD, without which it answers 407."""
    _ways: dict[str, URL] = field(default_factory=dict)

    def leads(self, address: str, base: str) -> None:
        """Connect to the server at `base` whoever asks for HOST:PORT."""
        self._ways[address] = URL(base)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(_HEAD_END)).decode()
        request, _, rest = head.partition("\r\n")
        method, target, _ = request.split(" ")
        self.asked.append(f"{method} {target}")
        self.heads.append(head)
        address = target if method == "CONNECT" else _address(target)
        if self.login and f"Basic {base64.b64encode(self.login.encode()).decode()}" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        if (way := self._ways.get(address)) is None:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        there, onward = await asyncio.open_connection(way.host, way.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            parts = urlsplit(target)
            # As RFC 9112 has it, the host is that of the target, whatever the client's Host says.
            kept = [line for line in rest.split("\r\n") if not line.lower().startswith(("host:", "proxy-"))]
            path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", *kept]
            onward.write("\r\n".join(lines).encode())
        await asyncio.gather(_pump(reader, onward), _pump(there, writer))


def _address(target: str) -> str:
    url = URL(target)
    return f"{url.host}:{url.port}"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def proxying() -> AsyncIterator[Proxy]:
    """Run one, on a free port of 127.0.0.1."""
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    proxy.url = f"http://{host}:{port}"
    async with server:
        yield proxy
