"""One worker: whether it is up at all, what is in its hands, and how fast it is.

A lane may rest: its process is ended, which alone gives back all its memory, and the next job starts it
again.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from whisperd.errors import EngineError, WhisperdError
from whisperd.fairness import Work
from whisperd.journal import fields
from whisperd.life import Call, Progress
from whisperd.protocol import AnyJob, Event
from whisperd.speed import Speed
from whisperd.status import WorkerState
from whisperd.worker import Worker

logger = logging.getLogger(__name__)


class Lane:
    """A worker that takes so many jobs at once."""

    def __init__(
        self,
        worker: Worker,
        slots: int,
        *,
        resting: bool = False,
        need_bytes: int = 0,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`speed` is in seconds of audio a second, and taken until it is measured."""
        self.worker = worker
        self.slots = slots
        self.resting = resting
        """Whether nothing is loaded, and nothing will be until a job comes."""
        self.need_bytes = need_bytes
        """Memory that it takes on its device, about."""
        self.holds: set[Work] = set()
        """What has a slot."""
        self.supervision: asyncio.Task[None] | None = None
        """Ends with StartError when the worker can never load."""
        self._clock = clock
        self._used_at = clock()
        self._speed = Speed(speed)
        self._measured_at = clock()
        self._begun: set[Work] = set()
        """What is in the worker's hands."""
        self._turning = asyncio.Lock()

    @property
    def running(self) -> int:
        """Jobs that have a slot, which is free when the worker is rid of its job."""
        return len(self.holds)

    @property
    def open(self) -> bool:
        """Whether it takes another job. What holds too much memory ends what it has, to be started anew."""
        return self.running < self.slots and not (self.holds and self.worker.swollen)

    @property
    def idle(self) -> bool:
        """Whether nobody needs it now."""
        return not self.holds

    @property
    def idle_s(self) -> float:
        """Seconds since the end of its last job; 0 while there is one."""
        return self._clock() - self._used_at if self.idle else 0.0

    @property
    def work_s(self) -> float:
        """Seconds of audio in its hands that are still to do."""
        return sum(work.left_s for work in self.holds)

    @property
    def speed(self) -> float:
        """Seconds of audio that it does in a second, as measured while it works."""
        return self._speed.value

    @property
    def state(self) -> WorkerState:
        """The worker's, or that it rests."""
        return "unloaded" if self.resting else self.worker.state

    @property
    def up(self) -> bool:
        """Whether a job could begin at once."""
        return not self.resting and self.worker.ready.is_set()

    @property
    def lost(self) -> bool:
        """Whether the worker died and is not back."""
        back_soon = self.worker.renewing or self.worker.state in ("starting", "stopped")
        return not (self.resting or self.up or back_soon)

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

    async def get_up(self) -> None:
        """Wait for the worker, starting it where it rests. Raises EngineError when it can't load."""
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
            logger.error(
                "the %s can't start: %s",
                self.worker.name,
                told,
                extra=fields(worker=self.worker.kind, device=self.worker.device),
            )
        return "the server's journal has the reason"

    # ---- jobs ------------------------------------------------------------------------------------

    def begin(self, work: Work, job: AnyJob, progress: Progress | None) -> Call:
        """Hand the job of some work that has a slot to the worker. Raises WorkerDied when it is not up."""

        def told(event: Event) -> None:
            self.done(work, event.position_s)
            if progress:
                progress(event)

        call = self.worker.call(job, told)
        self._measure(0.0)
        self._begun.add(work)
        return call

    def done(self, work: Work, position_s: float) -> None:
        """The worker has come so far in some work."""
        audio_s = min(position_s, work.seconds) - work.position_s
        if audio_s > 0:
            self._measure(audio_s)
            work.position_s += audio_s

    def release(self, work: Work) -> None:
        """The slot is free."""
        self._measure(0.0)
        self._begun.discard(work)
        self.holds.discard(work)
        self._used_at = self._clock()

    def _measure(self, audio_s: float) -> None:
        """So much was done since the last time, while there was something of a length to do."""
        now = self._clock()
        if any(work.seconds for work in self._begun):
            self._speed.note(audio_s, now - self._measured_at)
        self._measured_at = now
