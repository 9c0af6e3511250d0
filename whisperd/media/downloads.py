"""Files that callers may fetch for a while: rendered texts, each for the caller that they were made for."""

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whisperd.config.live import Live
from whisperd.media.disk import storing
from whisperd.media.spool import Spool
from whisperd.tasks import scoped

_MAX_KEPT: Final = 1000
"""Sets of files; beyond it the oldest goes before its time."""
_ROUND_S: Final = 5.0
"""How late what expired may be removed. It is given to nobody meanwhile."""
_ODD: Final = re.compile(r"[^A-Za-z0-9.-]+")
_LONGEST_STEM: Final = 60


@dataclass(frozen=True, slots=True)
class _Kept:
    """Files that were made together."""

    directory: Path
    owner: str
    expires: float
    """By the clock."""
    ended: contextlib.ExitStack
    """Removes them."""


class Downloads:
    """Keeps files in the spool, where nothing outlives the daemon."""

    def __init__(self, spool: Spool, live: Live, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._spool = spool
        self._live = live
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        """By what their names have in common, oldest first."""

    async def keep(self, stem: str, texts: Mapping[str, str], owner: str) -> dict[str, str]:
        """Keep texts by their suffixes (`.txt`); returns their names by the same.

        A name says when it was made and of what (`stem`), and can't be guessed. Raises Unavailable when the
        disk is full.
        """
        now = time.strftime("%Y%m%d-%H%M%S")
        clean = _ODD.sub("_", stem).strip("._-")[:_LONGEST_STEM] or "audio"
        common = f"{now}_{clean}_{secrets.token_hex(16)}"
        with contextlib.ExitStack() as made:
            directory = made.enter_context(self._spool.directory())
            for suffix, text in texts.items():
                async with storing(directory / f"{common}{suffix}") as sink:
                    await sink.write(text.encode())
            expires = self._clock() + self._live.current.api.keep_downloads
            self._kept[common] = _Kept(directory, owner, expires, made.pop_all())
        while len(self._kept) > _MAX_KEPT:
            self._end(next(iter(self._kept)))
        return {suffix: f"{common}{suffix}" for suffix in texts}

    def find(self, name: str, owner: str) -> Path | None:
        """The file, if it is there, has not expired, and is this caller's."""
        common, dot, suffix = name.rpartition(".")
        kept = self._kept.get(common)
        if kept is None or kept.owner != owner or kept.expires <= self._clock():
            return None
        path = kept.directory / f"{common}{dot}{suffix}"
        return path if path.is_file() else None

    def sweep(self) -> None:
        """Remove what expired."""
        now = self._clock()
        for common in [common for common, kept in self._kept.items() if kept.expires <= now]:
            self._end(common)

    @contextlib.asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """Remove what expires while the context is open, and everything at its end."""
        try:
            async with scoped(asyncio.create_task(self._tend())):
                yield
        finally:
            for common in list(self._kept):
                self._end(common)

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_ROUND_S)
            self.sweep()

    def _end(self, common: str) -> None:
        self._kept.pop(common).ended.close()
