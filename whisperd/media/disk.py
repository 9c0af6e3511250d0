"""Writing recordings to disk as they arrive, without holding up the event loop."""

import asyncio
import contextlib
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from whisperd.errors import Unavailable

T = TypeVar("T")

QUICK_BYTES: Final = 2**21
"""So much is written or removed in about a millisecond, no longer than a thread takes to be handed it."""
_HASHED_BYTES: Final = 2**19
"""So much is hashed and written in a millisecond: what is left to do when the last byte has come."""


class Sink:
    """A file that is being filled."""

    def __init__(self, file: BinaryIO, *, lasting: bool = False, reserve_bytes: int = 0) -> None:
        self._file = file
        self._reserve_bytes = reserve_bytes
        self._hash = hashlib.sha256() if lasting else None
        self._enough = _HASHED_BYTES if lasting else QUICK_BYTES
        self._pieces: list[bytes] = []
        self._unwritten = 0
        self._writing: asyncio.Task[None] | None = None
        self.size = 0
        """Bytes so far."""

    @property
    def digest(self) -> str | None:
        """SHA-256 of what was written, hexadecimal, where the file is to last."""
        return self._hash.hexdigest() if self._hash else None

    async def write(self, piece: bytes) -> None:
        """Add to it; many small pieces are written at once, in a thread, while the next ones arrive."""
        self._pieces.append(piece)
        self._unwritten += len(piece)
        self.size += len(piece)
        if self._unwritten >= self._enough:
            await self._written()
            self._writing = asyncio.create_task(asyncio.to_thread(self._put, self._take()))

    async def end(self) -> None:
        """Write what is left."""
        await self._written()
        if self._hash:
            await finish(asyncio.to_thread(self._put, self._take()))
        else:
            self._put(self._take())

    async def settle(self) -> None:
        """Wait until no thread uses the file."""
        if self._writing:
            await finish(asyncio.gather(self._writing, return_exceptions=True))

    async def _written(self) -> None:
        if self._writing:
            writing, self._writing = self._writing, None
            await finish(writing)

    def _take(self) -> list[bytes]:
        pieces, self._pieces, self._unwritten = self._pieces, [], 0
        return pieces

    def _put(self, pieces: list[bytes]) -> None:
        if self._reserve_bytes:
            check_room(self._file.fileno(), sum(map(len, pieces)), self._reserve_bytes)
        start = self._file.tell()
        self._file.writelines(pieces)
        if self._hash:
            self._file.flush()
            # Linux starts to write to the disk here, and does not wait for it.
            os.posix_fadvise(self._file.fileno(), start, 0, os.POSIX_FADV_DONTNEED)
            for piece in pieces:
                self._hash.update(piece)


@contextlib.asynccontextmanager
async def storing(path: Path, *, lasting: bool = False, reserve_bytes: int = 0) -> AsyncIterator[Sink]:
    """Fill a new file. Raises Unavailable when the disk is full but for `reserve_bytes`.

    One that is `lasting` is hashed, and on its way to the disk, while it comes: then it takes little time to
    wait for that at the end, which is left to who keeps it.
    """
    with needing_room(), path.open("xb") as file:
        sink = Sink(file, lasting=lasting, reserve_bytes=reserve_bytes)
        try:
            yield sink
            await sink.end()
        finally:
            await sink.settle()


@contextlib.contextmanager
def needing_room() -> Iterator[None]:
    """Raises Unavailable in place of the OSError that says that the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _no_room() from error


def check_room(place: Path | int, size: int, reserve_bytes: int) -> None:
    """Raises Unavailable where so many bytes more, in a directory or an open file, would leave less than the
    reserve.
    """
    disk = os.statvfs(place)
    if disk.f_bavail * disk.f_frsize - size < reserve_bytes:
        raise _no_room()


def _no_room() -> Unavailable:
    return Unavailable("the server has no room for the recording now", retry_after_s=60)


async def finish(step: Awaitable[T]) -> T:
    """Await what runs in a thread, and to its end also when cancelled: it uses what we are about to free."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
