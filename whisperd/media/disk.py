"""Writing recordings to disk as they arrive, without holding up the event loop."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from whisperd.errors import Unavailable

T = TypeVar("T")

QUICK_BYTES: Final = 2**21
"""So much is written or removed in about a millisecond, no longer than a thread takes to be handed it."""


class Sink:
    """A file that is being filled."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pieces: list[bytes] = []
        self._unwritten = 0
        self.size = 0
        """Bytes so far."""

    async def write(self, piece: bytes) -> None:
        """Add to it; many small pieces are written at once, in a thread."""
        self._pieces.append(piece)
        self._unwritten += len(piece)
        self.size += len(piece)
        if self._unwritten >= QUICK_BYTES:
            pieces, self._pieces, self._unwritten = self._pieces, [], 0
            await finish(asyncio.to_thread(self._file.writelines, pieces))

    def flush(self) -> None:
        """Write what is left."""
        self._file.writelines(self._pieces)


@contextlib.asynccontextmanager
async def storing(path: Path) -> AsyncIterator[Sink]:
    """Fill a new file. Raises Unavailable when the disk is full."""
    try:
        with path.open("xb") as file:
            sink = Sink(file)
            yield sink
            sink.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unavailable("the server has no room for the recording now", retry_after_s=60) from error


async def finish(step: Awaitable[T]) -> T:
    """Await what runs in a thread, and to its end also when cancelled: it uses what we are about to free."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
