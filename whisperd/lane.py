"""The queue in front of one worker, and whether that worker is up at all.

As many jobs are in the worker's hands as it takes at once, the others wait: those of a higher priority
first, and those of one priority in the order of their coming. A slot is free again when the worker is rid
of the job, which after a cancellation is later than the caller's leaving. A lane may rest: its process is
ended, which alone gives back all its memory, and the next job starts it again.
"""

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from whisperd.errors import EngineError, WhisperdError, WorkerDied, WorkerHung
from whisperd.journal import fields
from whisperd.protocol import AnyJob, AnyResult
from whisperd.status import WorkerState
from whisperd.transcript.model import PRIORITIES, Priority
from whisperd.worker import Progress, Worker

logger = logging.getLogger(__name__)

_ATTEMPTS = 2
"""A job on a worker that dies is tried once more on the next; a job that kills two is not tried again."""


class _Place(NamedTuple):
    """In the queue; less is nearer to its front."""

    rank: int
    number: int
    turn: asyncio.Future[None]


class Lane:
    """One worker and those who wait for it."""

    def __init__(
        self,
        worker: Worker,
        slots: int,
        *,
        resting: bool = False,
        need_bytes: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.worker = worker
        self.slots = slots
        self.resting = resting
        """Whether nothing is loaded, and nothing will be until a job comes."""
        self.need_bytes = need_bytes
        """Memory that it takes on its device, about."""
        self.running = 0
        self.supervision: asyncio.Task[None] | None = None
        """Ends with StartError when the worker can never load."""
        self._clock = clock
        self._used_at = clock()
        self._waiting: list[_Place] = []
        """A heap."""
        self._numbers = itertools.count()
        self._turning = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """Jobs that wait for a slot."""
        return sum(not place.turn.done() for place in self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nobody needs it now."""
        return not self.running and not self._waiting

    @property
    def idle_s(self) -> float:
        """Seconds since the end of its last job; 0 while there is one."""
        return self._clock() - self._used_at if self.idle else 0.0

    @property
    def state(self) -> WorkerState:
        """The worker's, or that it rests."""
        return "unloaded" if self.resting else self.worker.state

    # ---- up and down -----------------------------------------------------------------------------

    def wake(self) -> None:
        """Start the worker, and start it again whenever it dies."""
        self.resting = False
        self.supervision = asyncio.create_task(self.worker.supervise())

    async def rest(self) -> bool:
        """End the worker if nobody needs it; returns whether that was done."""
        async with self._turning:
            if self.resting or not self.idle:
                return False
            self.resting = True
            await self.end()
            return True

    async def end(self) -> None:
        """End the worker, whatever it does."""
        if self.supervision:
            self.supervision.cancel()
            await asyncio.wait([self.supervision])

    # ---- jobs ------------------------------------------------------------------------------------

    async def run(
        self,
        job: AnyJob,
        progress: Progress | None = None,
        started: Callable[[], None] | None = None,
        *,
        priority: Priority = "high",
    ) -> AnyResult:
        """Do a job when its turn comes; `started` is called at that moment.

        Cancelling leaves the queue at once, and the worker as soon as it notices. Raises the worker's
        error, or EngineError after the worker died twice with this job in its hands, or when it can't load.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            await self._take_slot(priority)
            try:
                await self._up()
                if started:
                    started()
                call = self.worker.call(job, progress)
            except BaseException:
                self._free_slot()
                raise
            call.finished.add_done_callback(lambda _: self._free_slot())
            try:
                return await call.result
            except asyncio.CancelledError:
                self.worker.cancel(call)
                raise
            except (WorkerDied, WorkerHung) as error:
                logger.warning(
                    "%s with a job in its hands (attempt %d of %d)",
                    error.message,
                    attempt,
                    _ATTEMPTS,
                    extra=fields(worker=self.worker.kind, attempt=attempt),
                )
                if attempt == _ATTEMPTS:
                    raise type(error)(
                        f"{error.message}, as did the one before it with this recording"
                    ) from error
        raise EngineError("unreachable")

    async def _up(self) -> None:
        """Wait for the worker, starting it where it rests."""
        async with self._turning:
            if self.resting:
                self.wake()
        ready = asyncio.ensure_future(self.worker.ready.wait())
        try:
            await asyncio.wait(
                [ready, self.supervision] if self.supervision else [ready],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            ready.cancel()
        if not self.worker.ready.is_set():
            self.resting = True  # so that the next job tries again
            raise EngineError(f"the model could not be loaded: {self._obstacle()}")

    def _obstacle(self) -> str:
        """What ended the supervision. The reason may hold a path of this machine: that goes to the log."""
        if self.supervision and not self.supervision.cancelled():
            error = self.supervision.exception()
            told = error.message if isinstance(error, WhisperdError) else str(error)
            logger.error("the %s worker can't start: %s", self.worker.kind, told)
        return "the server's journal has the reason"

    async def _take_slot(self, priority: Priority) -> None:
        if self.running < self.slots and not self.waiting:
            self.running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, _Place(PRIORITIES.index(priority), next(self._numbers), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The slot was handed over in the very moment of the cancellation: pass it on.
                self._free_slot()
            raise

    def _free_slot(self) -> None:
        """Hand the slot to the next in the queue, if one still waits."""
        self._used_at = self._clock()
        while self._waiting:
            turn = heapq.heappop(self._waiting).turn
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1
