"""Recordings of jobs on disk: each is kept once, under the digest of its bytes, while a job needs it."""

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from whisperd.errors import Unavailable
from whisperd.media.disk import finish, needing_room
from whisperd.media.spool import Spool

logger = logging.getLogger(__name__)

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Recordings:
    """The recordings, and beside them `incoming`, for those that still arrive.

    Both are on one disk, so that a recording that has arrived need not be copied.
    """

    def __init__(self, directory: Path, *, needed: Callable[[str], Awaitable[bool]]) -> None:
        self.incoming = Spool(directory / "incoming")
        self.directory = directory
        """Where all that belongs to jobs lies."""
        self._root = directory / "recordings"
        self._needed = needed
        self._turns: dict[str, _Turn] = {}

    def path(self, digest: str) -> Path:
        """Where the recording with this digest is, if it is kept."""
        return self._root / digest[:2] / digest[2:]

    @contextlib.asynccontextmanager
    async def keep(self, path: Path, digest: str | None = None) -> AsyncIterator[str]:
        """Keep a recording while the context is open, and beyond it as long as a job needs it.

        The job is to be stored inside. Yields the digest once the recording would outlive a loss of power;
        `path` stays as it is. `digest` is its SHA-256 where that is known already. Raises Unavailable when
        the disk is full.
        """
        if digest is None:
            digest = await finish(asyncio.to_thread(_digest, path))
        try:
            with self._use(digest) as turn:
                async with turn.lock:
                    await finish(self._place(path, digest))
                yield digest
        finally:
            try:
                await self.discard(digest)
            except Unavailable:
                logger.warning("a recording that is perhaps not needed stays until the next start")

    async def discard(self, digest: str) -> bool:
        """Remove a recording, unless a job needs it or somebody keeps it now; returns whether it went."""
        with self._use(digest) as turn:
            async with turn.lock:
                # Whoever else is keeping it comes here when that ends.
                if turn.users > 1 or await self._needed(digest):
                    return False
                await finish(asyncio.to_thread(self.path(digest).unlink, missing_ok=True))
                return True

    async def sweep(self) -> int:
        """After a start: make the directories, and remove what was arriving and what no job needs.

        Returns how many files and directories those were.
        """
        removed, kept = await finish(asyncio.to_thread(self._tidy))
        for digest in kept:
            removed += await self.discard(digest)
        return removed

    @contextlib.contextmanager
    def _use(self, digest: str) -> Iterator["_Turn"]:
        turn = self._turns.setdefault(digest, _Turn())
        turn.users += 1
        try:
            yield turn
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[digest]

    async def _place(self, path: Path, digest: str) -> None:
        """Put the file where it is kept, and it and its name on the disk.

        The name comes first, so that the disk is waited for once. A crash in between may leave a name with
        half a recording; no job is stored then, and `sweep` removes it.
        """
        target = self.path(digest)
        with needing_room():
            await asyncio.to_thread(self._link, path, target)
            await asyncio.gather(*(asyncio.to_thread(_sync, path) for path in (target, target.parent)))

    # ---- in threads ------------------------------------------------------------------------------

    def _link(self, path: Path, target: Path) -> None:
        """Give the file its name."""
        try:
            os.link(path, target)
        except FileExistsError:
            pass  # the same bytes came before
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
                raise
            with self.incoming.directory() as directory:
                shutil.copyfile(path, directory / "copy")
                (directory / "copy").rename(target)

    def _tidy(self) -> tuple[int, list[str]]:
        """Remove what can't be a recording; returns how much that was, and the digests of those kept.

        All directories that there may be are made here, so that each is on the disk before there is
        anything in it.
        """
        removed = self.incoming.sweep()
        self._root.mkdir(mode=0o700, exist_ok=True)
        for number in range(256):
            (self._root / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
        for directory in (self._root, self._root.parent):
            _sync(directory)
        digests = []
        for path in [path for path in self._root.rglob("*") if not path.is_dir()]:
            digest = path.parent.name + path.name
            if _DIGEST.fullmatch(digest) and path == self.path(digest):
                digests.append(digest)
            else:
                path.unlink()
                removed += 1
        return removed, digests


@dataclass(slots=True)
class _Turn:
    """Those who keep or discard one recording."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
