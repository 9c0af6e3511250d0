"""Who is let in: so many requests, a share of them for each client, and none that would come too late.

How many there are is known at once; how long their recordings are, only when they are decoded, which is
cheap: then the seconds of audio still to do, by the speed that was measured, tell when each would be
answered. Until then they count as long as those that came last, so that a refusal does not wait for its turn
to be decoded.
"""

import asyncio
import contextlib
import datetime
import math
import statistics
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection
from typing import Final

from whisperd.config.live import Live
from whisperd.errors import DeadlineExceeded, Draining, NotReady, QueueFull, RateLimited
from whisperd.fairness import may_have
from whisperd.foresight import Foresight
from whisperd.scheduler import Role, Scheduler
from whisperd.status import Tally
from whisperd.transcript.model import PRIORITIES, Priority

_RECENT: Final = 32
"""Recordings whose lengths tell what is to be expected of the next one."""
_LONGEST_RETRY_S: Final = 3600

Admit = Callable[[float], None]
"""Told the seconds of a recording as soon as they are known; raises QueueFull where there are too many."""


class Admission:
    """The requests that are worked on or wait."""

    def __init__(
        self, live: Live, scheduler: Scheduler, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.draining = False
        self.tally = Tally()
        self._live = live
        self._scheduler = scheduler
        self._clock = clock
        self._aborted = False
        self._deadlines: set[asyncio.Timeout] = set()
        """One for each request."""
        self._clients: Counter[str] = Counter()
        """Requests of each client."""
        self._lengths: deque[float] = deque(maxlen=_RECENT)
        """Seconds of the recordings that came last."""
        self._undecoded: Counter[tuple[Role, Priority, str]] = Counter()
        """Requests whose recordings' lengths are not known yet, by who works on them and who asks."""
        self._foresight = Foresight()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def active(self) -> int:
        """Requests being worked on or waiting."""
        return len(self._deadlines)

    @property
    def waiting(self) -> int:
        """Requests beyond those that the transcription's workers take at once."""
        return max(0, self.active - self._slots)

    @property
    def _slots(self) -> int:
        return self._scheduler.pool(Role("transcribe")).slots

    @property
    def _shortest_s(self) -> float:
        """What is to be expected of a recording that nothing is known of; 0 while not many have come."""
        return min(self._lengths) if len(self._lengths) == _RECENT else 0.0

    @property
    def _usual_s(self) -> float:
        """What is to be expected of each of several; 0 while not many have come."""
        return statistics.fmean(self._lengths) if len(self._lengths) == _RECENT else 0.0

    def abort(self) -> None:
        """End every request now; their callers are told that the server was stopped."""
        self._aborted = True
        now = asyncio.get_running_loop().time()
        for deadline in self._deadlines:
            deadline.reschedule(now)

    async def idle(self) -> None:
        """Wait until no request is being worked on."""
        await self._idle.wait()

    @contextlib.asynccontextmanager
    async def admitted(
        self,
        roles: Collection[Role] = (),
        *,
        deadline_s: float | None = None,
        priority: Priority = "high",
        client: str = "",
        patient: bool = False,
    ) -> AsyncIterator[Admit]:
        """Let a request in, for as long as it may take; a patient one waits where another is refused.

        `roles` are those that work on its recording, all at the same time. Raises Draining, NotReady,
        QueueFull, RateLimited, DeadlineExceeded.
        """
        if patient:
            self._check_draining()
        else:
            self.check(roles, deadline_s=deadline_s, priority=priority, client=client)
        allowed_s = self._allowed_s(deadline_s)
        promised_s = self._shortest_s
        came = self._clock()
        undecoded = Counter((role, priority, client) for role in roles)
        forecast_s, expected_s, forecast_at = 0.0, 0.0, came

        def admit(seconds: float) -> None:
            nonlocal forecast_s, expected_s, forecast_at
            self._lengths.append(seconds)
            self._undecoded -= undecoded
            undecoded.clear()
            if not patient:
                forecast_at = self._clock()
                left_s = allowed_s - (forecast_at - came)
                # Who was let in with room to spare is refused no more because there is a little less of it.
                promised = seconds <= promised_s
                forecast_s = self._check_time(
                    seconds, roles, left_s, priority=priority, client=client, promised=promised
                )
                expected_s = self._foresight.expected_s(forecast_s)

        def note() -> None:
            if forecast_s:
                self._foresight.note(forecast_s, expected_s, self._clock() - forecast_at)

        deadline = asyncio.timeout(allowed_s)
        self._deadlines.add(deadline)
        self._clients[client] += 1
        self._undecoded += undecoded
        self._idle.clear()
        self.tally.queued += 1
        try:
            async with deadline:
                if patient:
                    await self._scheduler.ready()
                yield admit
            note()
        except TimeoutError as error:
            if self._aborted:
                raise Draining("the server was stopped before the answer was ready") from error
            note()
            raise DeadlineExceeded(f"no answer within {allowed_s:g} seconds") from error
        finally:
            self._deadlines.discard(deadline)
            self._undecoded -= undecoded
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
            self.tally.processed += 1
            self.tally.last_processed_at = datetime.datetime.now(datetime.UTC)
            if not self._deadlines:
                self._idle.set()

    def check(
        self,
        roles: Collection[Role] = (),
        *,
        deadline_s: float | None = None,
        priority: Priority = "high",
        client: str = "",
    ) -> None:
        """Raise what `admitted` would raise for a request that came now, however long its recording is.

        Without `roles`, whoever may work on it.
        """
        self._check_draining()
        self._check_room(client)
        for role in roles:
            ahead_s = self._usual_s * self._undecoded_before(role, priority, client)
            self._check_time(
                self._shortest_s,
                [role],
                self._allowed_s(deadline_s),
                priority=priority,
                client=client,
                ahead_s=ahead_s,
            )

    def _allowed_s(self, deadline_s: float | None) -> float:
        return self._live.current.limits.wait if deadline_s is None else deadline_s

    def _check_draining(self) -> None:
        if self.draining:
            raise Draining("the server is shutting down")

    def _check_room(self, client: str) -> None:
        """Raise where the workers are not up, or there are too many requests, of this client or of all."""
        if reason := self._scheduler.unready():
            raise NotReady(f"not ready: {reason}")
        limit = self._live.current.limits.waiting
        free = self._slots + limit - self.active
        own = self._clients[client] if client else 0
        if free > 0 and may_have(own, free):
            return
        retry_after_s = _retry_after_s(self._scheduler.pool(Role("transcribe")).slot_s)
        if free <= 0:
            message = f"{self.waiting} requests are waiting already; the limit is {limit}"
            raise QueueFull(message, retry_after_s=retry_after_s)
        message = f"{own} of your requests are not answered yet, and what room is left is for others"
        raise RateLimited(message, retry_after_s=retry_after_s)

    def _undecoded_before(self, role: Role, priority: Priority, client: str) -> int:
        """How many of those would have their turns before a request that came now: of each other client no
        more than one beyond this client's own.
        """
        more_urgent = PRIORITIES[: PRIORITIES.index(priority)]
        own = self._undecoded[role, priority, client]
        return sum(
            count if other in more_urgent else min(count, own + (who != client))
            for (of, other, who), count in self._undecoded.items()
            if of == role and (other == priority or other in more_urgent)
        )

    def _check_time(
        self,
        seconds: float,
        roles: Collection[Role],
        left_s: float,
        *,
        priority: Priority,
        client: str,
        promised: bool = False,
        ahead_s: float = 0.0,
    ) -> float:
        """Raise QueueFull where a recording of so many seconds may be answered too late, or where it was
        `promised` an answer and that is forecast to come too late; `ahead_s` is what the workers do not know
        of yet. Returns the forecast, in seconds.

        One that finds nothing to do before it is let in, however long it is: what it takes can't be told
        better than by doing it, and for it 0 is returned.
        """
        forecast_s = 0.0
        for role in roles:
            pool = self._scheduler.pool(role)
            work_s = pool.work_s + ahead_s
            if not work_s:
                continue
            answer_s = pool.answer_s(seconds, priority=priority, client=client) + ahead_s / pool.speed
            late_s = (answer_s if promised else self._foresight.latest_s(answer_s)) - left_s
            if late_s > 0:
                raise QueueFull(
                    f"{work_s:.0f} seconds of audio are to be done before, {pool.speed:.1f} in a second: no "
                    f"answer would be there within {left_s:.0f} seconds",
                    retry_after_s=_retry_after_s(min(late_s, work_s / pool.speed)),
                )
            forecast_s = max(forecast_s, answer_s)
        return forecast_s


def _retry_after_s(seconds: float) -> int:
    return max(1, min(math.ceil(seconds), _LONGEST_RETRY_S))
