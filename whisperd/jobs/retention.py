"""How long jobs are kept after their end: as configured, and less when the disk runs short."""

import asyncio
import datetime
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from whisperd.config.live import Live
from whisperd.errors import Unavailable, UnknownJob
from whisperd.jobs.audio import Recordings
from whisperd.jobs.model import Job
from whisperd.jobs.store import Store
from whisperd.journal import fields

logger = logging.getLogger(__name__)

_BATCH: Final = 100
"""Looked up at once; and as many results go before their time in one round."""
_RETRY_AFTER_S: Final = 60


class Room(Protocol):
    """What `shutil.disk_usage` tells of a disk."""

    @property
    def free(self) -> int:
        """Bytes."""


class Retention:
    """Removes what has been kept long enough."""

    def __init__(
        self,
        live: Live,
        store: Store,
        recordings: Recordings,
        *,
        now: Callable[[], datetime.datetime],
        disk_usage: Callable[[Path], Room] = shutil.disk_usage,
    ) -> None:
        self._live = live
        self._store = store
        self._recordings = recordings
        self._now = now
        self._disk_usage = disk_usage
        self._removing = asyncio.Lock()

    async def round(self) -> None:
        """Remove what has been kept long enough; when the disk is short, recordings and then results go
        before their time, the longest ended first.
        """
        jobs = self._live.current.jobs
        async with self._removing:
            await self._expire_audio(jobs.keep_audio)
            await self._expire_results(jobs.keep_results)
        if not self._short():
            return
        async with self._removing:
            await self._clear_audio()
            if self._short():
                await self._clear_results()

    async def make_room(self) -> None:
        """Ensure that there is room for a recording; others go where they can. Raises Unavailable."""
        if not self._short():
            return
        async with self._removing:
            await self._clear_audio()
        if self._short():
            raise Unavailable("the server has no room for more recordings now", retry_after_s=_RETRY_AFTER_S)

    def _short(self) -> bool:
        return self._disk_usage(self._recordings.incoming.root).free < self._live.current.jobs.disk_reserve

    async def _expire_audio(self, kept_s: float) -> None:
        at = self._now() - datetime.timedelta(seconds=kept_s)
        while jobs := await self._store.ended_before(at, limit=_BATCH, with_audio=True):
            await asyncio.gather(*map(self._remove_audio, jobs))

    async def _expire_results(self, kept_s: float) -> None:
        at = self._now() - datetime.timedelta(seconds=kept_s)
        while jobs := await self._store.ended_before(at, limit=_BATCH):
            await asyncio.gather(*map(self._remove, jobs))

    async def _clear_audio(self) -> None:
        """Remove recordings of jobs that have ended until there is room."""
        while self._short() and (
            jobs := await self._store.ended_before(self._now(), limit=_BATCH, with_audio=True)
        ):
            removed = 0
            for job in jobs:
                if not self._short():
                    break
                await self._remove_audio(job)
                removed += 1
            logger.warning("the disk is short: removed %d recordings before their time", removed)

    async def _clear_results(self) -> None:
        """Remove some jobs: what takes the room may be something else, which the next round will know."""
        jobs = await self._store.ended_before(self._now(), limit=_BATCH)
        await asyncio.gather(*map(self._remove, jobs))
        if jobs:
            logger.warning("the disk is short: removed %d jobs before their time", len(jobs))

    async def _remove(self, job: Job) -> None:
        try:
            await self._store.delete(job.id, job.owner)
        except UnknownJob:
            return  # its owner was faster
        if job.source.digest:
            await self._recordings.discard(job.source.digest)
        logger.debug("removed job %s", job.id, extra=fields(job_id=job.id))

    async def _remove_audio(self, job: Job) -> None:
        await self._store.forget_audio(job.id)
        if job.source.digest:
            await self._recordings.discard(job.source.digest)
