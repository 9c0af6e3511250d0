"""A server that has recordings, well-behaved or not, and takes results: on the loopback, over HTTP.

    async with serving_files() as files:
        url = files.add("talk.wav", data)

A path answers as its `Answer` says, and 404 without one; every path takes what is PUT, and answers 200
unless it has an `Answer`. HEAD of a presigned URL answers 403, as the signature is that of a GET.
"""

import asyncio
import contextlib
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict, CIMultiDictProxy

MAX_LINE_BYTES: Final = 2**17
PRESIGNED: Final = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F20260101%2Feu%2Fs3%2Faws4_request"
    "&X-Amz-Expires=3600&X-Amz-Signature=5ec4e7a%2Bb&X-Amz-SignedHeaders=host"
)
"""The query of a URL that is signed. `5ec4e7` is what nobody may be told."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a path answers with."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    """Content-Type is application/octet-stream where they name none."""
    chunked: bool = False
    """Without Content-Length."""
    compressed: bool = False
    """With gzip, whether it was asked for or not."""
    late_s: float = 0
    """Before it begins."""
    pause_s: float = 0
    """Before each of its pieces, of which there are eight then."""
    stalls_after: int | None = None
    """So many bytes of the body, then nothing until `FileServer.go_on` is set."""
    breaks_after: int | None = None
    """So many bytes of the body, then the end of the connection."""
    hangs_up: bool = False
    """The end of the connection instead of an answer, once `FileServer.go_on` is set."""
    reads: bool = True
    """Whether what is PUT is read before it answers, or never."""


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    """With its query, as it was sent."""
    headers: CIMultiDictProxy[str]


class FileServer:
    """The files, and what was asked of them."""

    def __init__(self) -> None:
        self.base = ""
        """Its URL, without a slash at the end."""
        self.asked: list[Asked] = []
        self.received: dict[str, bytes] = {}
        """What was PUT, by path without query."""
        self.broken_off: list[str] = []
        """Paths whose client left before it had its answer."""
        self.go_on = asyncio.Event()
        self.body_pause_s = 0.0
        """After each piece of what is PUT, of half a MiB at the most."""
        self.taken_s = 0.0
        """How long it took to read the last of it."""
        self._answers: dict[str, Answer] = {}

    def add(self, name: str, answer: bytes | Answer) -> str:
        """Serve something; returns its URL. A name may have a query, which requests must then have too."""
        path = f"/{name}"
        self._answers[path] = answer if isinstance(answer, Answer) else Answer(body=answer)
        return self.base + path

    def add_redirects(self, name: str, hops: int, target: str, status: int = 302) -> str:
        """Serve a chain of so many redirects that ends at the target; returns the URL of its beginning."""
        for hop in range(hops, 0, -1):
            answer = Answer(status=status, headers={"Location": target})
            target = self.add(name if hop == 1 else f"{name}-{hop}", answer)
        return target

    def paths(self, method: str = "GET") -> list[str]:
        """Paths that were asked for, in order."""
        return [asked.path for asked in self.asked if asked.method == method]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        self.asked.append(Asked(request.method, request.raw_path, request.headers))
        answer = self._answers.get(request.raw_path)
        if request.method == "PUT":
            answer = answer or Answer()
            if answer.reads:
                self.received[request.path] = await self._body(request)
        if answer is None:
            return web.Response(status=404)
        if request.method == "HEAD" and "X-Amz-Signature" in request.query:
            return web.Response(status=403)
        await asyncio.sleep(answer.late_s)
        try:
            return await self._send(request, answer)
        except (asyncio.CancelledError, ConnectionError):
            self.broken_off.append(request.raw_path)
            raise

    async def _body(self, request: web.Request) -> bytes:
        began = time.monotonic()
        body = bytearray()
        async for piece in request.content.iter_chunked(2**19):
            body += piece
            await asyncio.sleep(self.body_pause_s)
        self.taken_s = time.monotonic() - began
        return bytes(body)

    async def _send(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        body = gzip.compress(answer.body) if answer.compressed else answer.body
        headers = CIMultiDict({"Content-Type": "application/octet-stream"})
        headers.update(answer.headers)
        if answer.compressed:
            headers["Content-Encoding"] = "gzip"
        response = web.StreamResponse(status=answer.status, headers=headers)
        if answer.chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(body)
        stalls_after, breaks_after = answer.stalls_after, answer.breaks_after
        assert request.transport
        if answer.hangs_up:
            await self.go_on.wait()
            request.transport.close()
            return response
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        sent = 0
        if stalls_after is not None:
            await response.write(body[:stalls_after])
            await self.go_on.wait()
            sent = stalls_after
        if breaks_after is not None:
            await response.write(body[sent:breaks_after])
            request.transport.close()
            return response
        for piece in _pieces(body[sent:], 8 if answer.pause_s else 1):
            await asyncio.sleep(answer.pause_s)
            await response.write(piece)
        await response.write_eof()
        return response


def _pieces(body: bytes, count: int) -> list[bytes]:
    return [body[len(body) * n // count : len(body) * (n + 1) // count] for n in range(count)]


@contextlib.asynccontextmanager
async def serving_files(tls: ssl.SSLContext | None = None) -> AsyncIterator[FileServer]:
    """Run one, on a free port of 127.0.0.1."""
    files = FileServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", files.answer)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(access_log=None, max_line_size=MAX_LINE_BYTES, ssl=tls)
    files.base = str(server.make_url("")).rstrip("/")
    try:
        yield files
    finally:
        files.go_on.set()
        await server.close()
