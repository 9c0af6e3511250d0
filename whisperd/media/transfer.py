"""One transfer over HTTP: a recording into a file, or a result out of one.

No error of aiohttp's gets out of here, for many of them hold the whole URL, and with it its signature.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSSLError,
    ServerDisconnectedError,
)
from aiohttp.abc import AbstractResolver
from yarl import URL

from whisperd.config.live import Live
from whisperd.egress import Client, Egress, ProxyFailed
from whisperd.errors import (
    EmptyFile,
    FetchFailed,
    ParameterError,
    RequestError,
    TooLarge,
    UrlNotFound,
    UrlRefused,
    WhisperdError,
)
from whisperd.media.disk import storing
from whisperd.media.guard import Guard
from whisperd.media.resolver import Resolver
from whisperd.media.urls import parse, shown

MAX_REDIRECTS: Final = 20

_REDIRECTS: Final = {"GET": {301, 302, 303, 307, 308}, "PUT": {301, 302, 307, 308}}
"""A 303 says that what was sent was taken, or not, and that a GET elsewhere tells."""
_PASSING: Final = {408, 425, 429}
"""Of the 4xx those that say: later."""
_PIECE_BYTES: Final = 256 * 1024

Moved = Callable[[], None]
"""Called whenever something was sent or received."""


class Posted(NamedTuple):
    """What was answered to a POST."""

    status: int
    retry_after: str | None
    """As it was sent."""


class Transfers:
    """The HTTP client: all that it connects to, a guard has let through.

    A URL's user and password are sent to the URL's own host, and not to one that it redirects to.
    """

    def __init__(
        self, live: Live, egress: Egress, resolver: Callable[[], AbstractResolver] = Resolver
    ) -> None:
        self._live = live
        self._egress = egress
        self._make_resolver = resolver
        self._opened: tuple[Client, Guard] | None = None

    async def get(self, url: str, path: Path) -> int:
        """Fill a new file with what is at the URL; returns its bytes.

        Raises ParameterError, UrlRefused, UrlNotFound, RequestError, TooLarge, EmptyFile, FetchFailed,
        Unavailable when the disk is full.
        """
        source, limits = parse(url), self._live.current.limits
        limit = limits.upload
        too_large = TooLarge(f"the file at {shown(source)} is larger than the limit of {limit}")
        async with self._patience(source) as moved, self._answer("GET", source, moved) as response:
            if (response.content_length or 0) > limit:
                raise too_large
            async with storing(path, reserve_bytes=limits.disk_reserve) as sink:
                # The length said nothing if there was none, or if the body is compressed.
                async for piece in response.content.iter_any():
                    moved()
                    if sink.size + len(piece) > limit:
                        raise too_large
                    await sink.write(piece)
        if not sink.size:
            raise EmptyFile(f"the file at {shown(source)} is empty")
        return sink.size

    async def put(self, url: str, path: Path) -> None:
        """Send a file's bytes to the URL. Raises as `get` does."""
        target = parse(url)
        async with self._patience(target) as moved, self._answer("PUT", target, moved, body=path):
            pass

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> Posted:
        """Send a body, once: every answer will do, a redirect too, and nothing but its head is read.

        Raises ParameterError, UrlRefused, FetchFailed.
        """
        target = parse(url)
        client, guard = self._open()
        guard.check(target)
        try:
            async with asyncio.timeout(timeout_s):
                with _blaming(target):
                    async with client.request("POST", target, data=body, headers=headers) as response:
                        return Posted(response.status, response.headers.get("Retry-After"))
        except TimeoutError:
            raise FetchFailed(f"{shown(target)}: no answer within {timeout_s:g} s") from None

    async def aclose(self) -> None:
        """Close what is open."""
        if self._opened:
            client, _ = self._opened
            self._opened = None
            await client.aclose()

    @contextlib.asynccontextmanager
    async def _answer(
        self, method: str, url: URL, moved: Moved, body: Path | None = None
    ) -> AsyncIterator[ClientResponse]:
        """The good answer at the end of all redirects."""
        for _ in range(MAX_REDIRECTS + 1):
            client, guard = self._open()
            guard.check(url)
            with _blaming(url), _sending(body, moved) as options:
                async with client.request(method, url, **options) as response:
                    moved()
                    location = response.headers.get("Location")
                    if response.status not in _REDIRECTS[method] or location is None:
                        if not 200 <= response.status < 300:
                            raise _refusal(response, method, url)
                        yield response
                        return
            url = _redirected(url, location)
        raise FetchFailed(f"more than {MAX_REDIRECTS} redirects, the last one to {shown(url)}")

    @contextlib.asynccontextmanager
    async def _patience(self, url: URL) -> AsyncIterator[Moved]:
        """Ends a transfer that takes too long, or that stands still. Raises FetchFailed."""
        fetch = self._live.current.fetch
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(fetch.timeout) as whole, asyncio.timeout(fetch.idle) as idle:

                def moved() -> None:
                    if not idle.expired():
                        idle.reschedule(now() + fetch.idle)

                yield moved
        except TimeoutError:
            reason = (
                f"was not done after {fetch.timeout}"
                if whole.expired()
                else f"stood still for {fetch.idle}"
            )  # fmt: skip
            raise FetchFailed(f"{shown(url)}: the transfer {reason}, and was given up") from None

    def _open(self) -> tuple[Client, Guard]:
        if self._opened is None:
            guard = Guard(self._live, self._make_resolver())
            # Presigned URLs are not valid with a Content-Type.
            self._opened = Client(self._egress, guard, skip_auto_headers=("Content-Type",)), guard
        return self._opened


@contextlib.contextmanager
def _sending(path: Path | None, moved: Moved) -> Iterator[dict[str, Any]]:
    """What a request needs to send the file, if there is one."""
    if path is None:
        yield {}
        return
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        yield {"data": _pieces(file, moved), "headers": {"Content-Length": str(size)}}


async def _pieces(file: BinaryIO, moved: Moved) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
        yield piece
        moved()


@contextlib.contextmanager
def _blaming(url: URL) -> Iterator[None]:
    """Tell of the client's failures in our own words. Raises FetchFailed."""
    try:
        yield
    except ClientError as error:
        raise FetchFailed(f"{shown(url)}: {_reason(error)}") from None


def _reason(error: ClientError) -> str:
    match error:
        case ProxyFailed():
            return f"the proxy (`fetch.proxy`) {error}"
        case ClientConnectorDNSError():
            return "its host was not found"
        case ClientSSLError():
            return f"no encrypted connection: {error.os_error}"
        case ClientConnectorError(errno=int(number)):
            return f"no connection: {os.strerror(number)}"
        case ClientConnectorError():
            return "no connection"
        case ServerDisconnectedError() | ClientPayloadError() | OSError():
            return "the connection broke off"
    return "its server did not answer as HTTP wants it"


def _refusal(response: ClientResponse, method: str, url: URL) -> WhisperdError:
    """The error for an answer without success."""
    status, name = response.status, shown(url)
    answered = f"its server answered {status}"
    if status in (404, 410):
        return UrlNotFound(
            f"Audio file not found: {name}" if method == "GET" else f"{name} takes nothing: {answered}"
        )
    if status in (401, 403):
        return UrlRefused(f"{name}: {answered}; a signed URL may have expired")
    if 400 <= status < 500 and status not in _PASSING:
        return RequestError(f"{name}: {answered}")
    return FetchFailed(f"{name}: {answered}")


def _redirected(url: URL, location: str) -> URL:
    try:
        return parse(location, url)
    except ParameterError:
        raise FetchFailed(f"{shown(url)} redirects to what is not a URL") from None
