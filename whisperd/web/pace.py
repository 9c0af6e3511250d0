"""How fast an upload comes: one that stops, or only trickles, is given up."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from whisperd.config.schema import Limits
from whisperd.errors import UploadTimeout

T = TypeVar("T")


class Pace:
    """Watches the steps of reading one body, of which each waits for the client.

    Only that time counts: to wait for the disk is not the client's fault.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waited_s = 0.0
        self._bytes = 0

    def note(self, size: int) -> None:
        """So many bytes were there already."""
        self._bytes += size

    async def keep(self, step: Awaitable[T]) -> T:
        """Wait for one step. Raises UploadTimeout."""
        limits = self._limits
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(limits.upload_idle):
                came = await step
        except TimeoutError as error:
            raise UploadTimeout(f"nothing came for {limits.upload_idle}; the upload was given up") from error
        self._waited_s += loop.time() - begun
        if isinstance(came, bytes | bytearray):
            self.note(len(came))
        if self._waited_s >= limits.upload_idle:
            if self._bytes < limits.upload_rate * self._waited_s:
                raise UploadTimeout(
                    f"less than {limits.upload_rate} came in a second, for {limits.upload_idle}; "
                    "the upload was given up"
                )
            self._waited_s, self._bytes = 0.0, 0
        return came
