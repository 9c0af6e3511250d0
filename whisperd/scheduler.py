"""Which job goes to its worker next, and what becomes of it when the worker dies.

Each worker has a lane: as many jobs in its hands as it takes at once, the others in the order of their
coming. A slot is free again when the worker is rid of the job, which after a cancellation is later than
the caller's leaving.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from whisperd.errors import EngineError, WorkerDied, WorkerHung
from whisperd.journal import fields
from whisperd.protocol import AnyJob, AnyResult, Kind
from whisperd.worker import Progress, Worker

logger = logging.getLogger(__name__)

_ATTEMPTS = 2
"""A job on a worker that dies is tried once more on the next; a job that kills two is not tried again."""


class Lane:
    """The queue in front of one worker."""

    def __init__(self, worker: Worker, slots: int) -> None:
        self.worker = worker
        self.slots = slots
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Jobs that wait for a slot."""
        return sum(not turn.done() for turn in self._waiting)

    async def run(
        self, job: AnyJob, progress: Progress | None = None, started: Callable[[], None] | None = None
    ) -> AnyResult:
        """Do a job when its turn comes; `started` is called at that moment.

        Cancelling leaves the queue at once, and the worker as soon as it notices. Raises the worker's
        error, or EngineError after the worker died twice with this job in its hands.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            await self._take_slot()
            try:
                await self.worker.ready.wait()
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

    async def _take_slot(self) -> None:
        if self.running < self.slots and not self.waiting:
            self.running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The slot was handed over in the very moment of the cancellation: pass it on.
                self._free_slot()
            raise

    def _free_slot(self) -> None:
        """Hand the slot to the next in the queue, if one still waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1


class Scheduler:
    """The lanes of all workers."""

    def __init__(self, lanes: dict[Kind, Lane]) -> None:
        self.lanes = lanes

    async def run(
        self,
        kind: Kind,
        job: AnyJob,
        progress: Progress | None = None,
        started: Callable[[], None] | None = None,
    ) -> AnyResult:
        """Do a job on the worker of its kind. See `Lane.run`."""
        return await self.lanes[kind].run(job, progress, started)

    def unready(self) -> str | None:
        """Why a job could not run now; None when each worker is up."""
        for lane in self.lanes.values():
            worker = lane.worker
            if not worker.ready.is_set():
                reason = f": {worker.message}" if worker.message else ""
                return f"the {worker.kind} worker is {worker.state}{reason}"
        return None
