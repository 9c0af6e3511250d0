"""Recordings that requests name by URL, and results that they want sent to one."""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

from aiohttp.abc import AbstractResolver

from whisperd.config.live import Live
from whisperd.egress import Egress
from whisperd.journal import fields
from whisperd.media.disk import finish
from whisperd.media.resolver import Resolver
from whisperd.media.spool import Spool
from whisperd.media.transfer import Transfers
from whisperd.media.urls import parse, shown

logger = logging.getLogger(__name__)


class Fetcher:
    """Downloads and uploads for requests. `resolver` is made when the first of them starts."""

    def __init__(
        self,
        live: Live,
        spool: Spool,
        egress: Egress,
        *,
        resolver: Callable[[], AbstractResolver] = Resolver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transfers = Transfers(live, egress, resolver)
        self._spool = spool
        self._clock = clock
        self._shared: dict[str, _Shared] = {}

    @contextlib.asynccontextmanager
    async def recording(self, url: str) -> AsyncIterator[Path]:
        """The recording at the URL, in a directory of its own, for as long as the context is open.

        Those who hold the same URL at the same time share one download and one file: what one of them makes
        of it may lie beside it for the others. Raises ParameterError, UrlRefused, UrlNotFound, RequestError,
        TooLarge, EmptyFile, FetchFailed, Unavailable when the disk is full.
        """
        shared = self._shared.get(url)
        if shared is None:
            shared = self._shared[url] = _Shared(self._spool, functools.partial(self._download, url))
        shared.holders += 1
        try:
            # Shielded, because others may wait for it too.
            yield await asyncio.shield(shared.download)
        finally:
            shared.holders -= 1
            if not shared.holders:
                self._forget(url, shared)
                await finish(shared.end())

    async def put(self, url: str, path: Path) -> None:
        """Send a file to the URL, as one PUT of its bytes. Raises as `recording` does."""
        began = self._clock()
        await self._transfers.put(url, path)
        self._log("sent to", url, began)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transfers.aclose()

    async def _download(self, url: str, shared: "_Shared") -> Path:
        began = self._clock()
        try:
            size = await self._transfers.get(url, shared.path)
        except BaseException:
            # Whoever asks from now on gets another try.
            self._forget(url, shared)
            raise
        self._log("fetched", url, began, size)
        return shared.path

    def _forget(self, url: str, shared: "_Shared") -> None:
        if self._shared.get(url) is shared:
            del self._shared[url]

    def _log(self, done: str, url: str, began: float, size: int | None = None) -> None:
        transfer_s = round(self._clock() - began, 3)
        logger.info("%s %s", done, shown(parse(url)), extra=fields(bytes=size, transfer_s=transfer_s))


class _Shared:
    """A recording that is downloaded, or was, and how many hold it."""

    def __init__(self, spool: Spool, download: Callable[["_Shared"], Coroutine[None, None, Path]]) -> None:
        self._directory = contextlib.ExitStack()
        self.path = self._directory.enter_context(spool.directory()) / "recording"
        self.holders = 0
        self.download = asyncio.create_task(download(self))

    async def end(self) -> None:
        """Stop the download if it still runs, and remove what there is of it."""
        self.download.cancel()
        await asyncio.gather(self.download, return_exceptions=True)
        await asyncio.to_thread(self._directory.close)
