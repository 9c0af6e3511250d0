"""The queue in front of workers that do the same, one for each device.

A job goes to the device with the least to do, in seconds of audio and by how fast each of them is. When a
worker dies, others do what it had in its hands, or its own next life, where there is no other.
"""

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from whisperd.errors import EngineError, NotEnoughMemory, WorkerDied, WorkerHung
from whisperd.fairness import FairQueue, Work, may_begin
from whisperd.journal import fields
from whisperd.lane import Lane
from whisperd.life import Progress
from whisperd.protocol import SAMPLE_RATE_HZ, AnyJob, AnyResult, DiarizeJob, TranscribeJob
from whisperd.transcript.model import Priority

logger = logging.getLogger(__name__)

_ATTEMPTS: Final = 2
"""A job on a worker that dies is tried once more; a job that kills two is not tried again."""
_LOADING_S: Final = 10.0
"""What it costs to load a model, about: worth it on a further device when the others have more to do."""


class Pool:
    """The lanes of one role, and those who wait for one of them."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = tuple(lanes)
        self._queue = FairQueue()
        self._turns: dict[Work, _Turn] = {}

    @property
    def slots(self) -> int:
        """Jobs that are taken at once."""
        return sum(lane.slots for lane in self.lanes)

    @property
    def running(self) -> int:
        """Jobs that have a slot."""
        return sum(lane.running for lane in self.lanes)

    @property
    def waiting(self) -> int:
        """Jobs that wait for a slot."""
        return len(self._queue)

    @property
    def work_s(self) -> float:
        """Seconds of audio still to do."""
        return sum(lane.work_s for lane in self.lanes) + sum(work.left_s for work in self._queue)

    @property
    def speed(self) -> float:
        """Seconds of audio that are done in a second where all devices work."""
        return sum(lane.speed for lane in self._able())

    @property
    def languages(self) -> frozenset[str]:
        """Languages that the model knows; empty where nothing was loaded yet."""
        return next((lane.worker.languages for lane in self.lanes if lane.worker.languages), frozenset())

    @property
    def has_lengths(self) -> bool:
        """Whether its work takes its time from the length of recordings."""
        return self.lanes[0].worker.kind in ("transcribe", "diarize")

    # ---- how long it takes -----------------------------------------------------------------------

    def answer_s(self, seconds: float, *, priority: Priority = "high", client: str = "") -> float:
        """Time until a recording of so many seconds would be done if it came now.

        Those that have slots share the workers, so that a short one does not wait for a long one's end; those
        that wait before it go before it as a whole.
        """
        lanes = self._able()
        left = [work.left_s for lane in lanes for work in lane.holds]
        free = sum(lane.slots for lane in lanes) > len(left)
        beside_s = seconds if free else max(seconds, min(left, default=0.0))
        shared_s = sum(min(each, beside_s) for each in left)
        ahead_s = self._queue.ahead_s(client, priority)
        return (ahead_s + shared_s) / self.speed + seconds / max(lane.speed for lane in lanes)

    @property
    def slot_s(self) -> float:
        """Time from one job's end to the next one's, on the average."""
        return self.work_s / self.speed / max(1, self.running + self.waiting)

    # ---- jobs ------------------------------------------------------------------------------------

    async def run(
        self,
        job: AnyJob,
        progress: Progress | None = None,
        started: Callable[[Lane], None] | None = None,
        *,
        priority: Priority = "high",
        client: str = "",
        make_room: Callable[[Lane], Awaitable[None]] | None = None,
    ) -> AnyResult:
        """Do a job when its turn comes; `started` is called at that moment, with who does it.

        Cancelling leaves the queue at once, and the worker as soon as it notices; only then the slot is free
        again. `make_room` is called before a worker is loaded, and may raise NotEnoughMemory. Raises the
        worker's error, or EngineError after two workers died with this job in their hands, or when it can't
        be loaded.
        """
        seconds = job.samples / SAMPLE_RATE_HZ if isinstance(job, TranscribeJob | DiarizeJob) else 0.0
        work = Work(seconds, client, priority)
        self._queue.register(work)
        cramped: set[Lane] = set()
        deaths = 0
        while True:
            lane = await self._slot(work, cramped)
            try:
                if not await self._is_up(lane, make_room):
                    self._release(lane, work)
                    continue
                if started:
                    started(lane)
                call = lane.begin(work, job, progress)
            except NotEnoughMemory:
                self._release(lane, work)
                cramped.add(lane)
                if len(cramped) == len(self.lanes):
                    raise
                continue
            except BaseException:
                self._release(lane, work)
                raise
            call.finished.add_done_callback(functools.partial(self._freed, lane, work))
            try:
                result = await call.result
            except asyncio.CancelledError:
                lane.worker.cancel(call)
                raise
            except (WorkerDied, WorkerHung) as error:
                deaths += 1
                _log_death(lane, error, deaths)
                if deaths == _ATTEMPTS:
                    raise type(error)(
                        f"{error.message}, as did the one before it with this recording"
                    ) from error
            else:
                lane.done(work, work.seconds)
                return result
            # The old one keeps its slot until the worker is rid of it.
            work = dataclasses.replace(work, position_s=0.0)

    async def _slot(self, work: Work, cramped: set[Lane]) -> Lane:
        """Wait for a slot; it is that of the least loaded device, but of none that is cramped."""
        turn = _Turn(asyncio.get_running_loop().create_future(), cramped)
        self._turns[work] = turn
        self._queue.enter(work)
        self._dispatch()
        try:
            return await turn.lane
        except asyncio.CancelledError:
            if turn.lane.done() and not turn.lane.cancelled():
                # The slot was handed over in the very moment of the cancellation: pass it on.
                self._release(turn.lane.result(), work)
            else:
                del self._turns[work]
                self._queue.leave(work)
            raise

    def _dispatch(self) -> None:
        """Hand free slots to those whose turn it is."""
        for work in self._queue:
            if not any(lane.open for lane in self.lanes):
                return
            turn = self._turns[work]
            if turn.lane.cancelled():
                continue  # it is just leaving
            if lane := self._lane_for(work, turn.cramped):
                self._queue.take(work)
                del self._turns[work]
                lane.holds.add(work)
                turn.lane.set_result(lane)

    def _lane_for(self, work: Work, cramped: set[Lane]) -> Lane | None:
        able = self._able()
        begun = [other for lane in able for other in lane.holds]
        if not may_begin(work, begun, sum(lane.slots for lane in able)):
            return None
        roomy = set(able) - cramped or set(self.lanes) - cramped
        free = [lane for lane in self.lanes if lane in roomy and lane.open]
        return min(free, key=_wait_s, default=None)

    def _release(self, lane: Lane, work: Work) -> None:
        lane.release(work)
        self._dispatch()

    def _freed(self, lane: Lane, work: Work, _: object) -> None:
        self._release(lane, work)

    def _able(self) -> Sequence[Lane]:
        """Those that can work, or will when they have loaded; all, where there is none."""
        return [lane for lane in self.lanes if not lane.lost] or self.lanes

    async def _is_up(self, lane: Lane, make_room: Callable[[Lane], Awaitable[None]] | None) -> bool:
        """Wait until the worker is up; False when another one is, before it."""
        if lane.up:
            return True
        if lane.resting and make_room:
            await make_room(lane)
        others = [other for other in self.lanes if other is not lane and not other.up and not other.resting]
        waits = [asyncio.ensure_future(other.worker.ready.wait()) for other in others]
        rising = asyncio.ensure_future(lane.get_up())
        try:
            await asyncio.wait([rising, *waits], return_when=asyncio.FIRST_COMPLETED)
            if rising.done():
                rising.result()
            return lane.up
        finally:
            for wait in (rising, *waits):
                wait.cancel()
            with contextlib.suppress(asyncio.CancelledError, EngineError):
                await rising


@dataclasses.dataclass(eq=False, slots=True)
class _Turn:
    """Somebody who waits."""

    lane: asyncio.Future[Lane]
    cramped: set[Lane]
    """Those on whose devices there was no room for the model."""


def _wait_s(lane: Lane) -> float:
    """Time until what the lane has in its hands is done."""
    return lane.work_s / lane.speed + (0.0 if lane.up else _LOADING_S)


def _log_death(lane: Lane, error: EngineError, deaths: int) -> None:
    logger.warning(
        "%s with a job in its hands (attempt %d of %d)",
        error.message,
        deaths,
        _ATTEMPTS,
        extra=fields(worker=lane.worker.kind, device=lane.worker.device, attempt=deaths),
    )
