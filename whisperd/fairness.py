"""Whose turn it is: what somebody waits for first, and within one priority a fair share for each client.

Each client's work is laid end to end on a clock of the client's own, in seconds of audio, and what begins
earliest on such a clock goes first. So whoever asks for hours waits behind whoever asks for a minute, also if
the minute comes later, and as much is done for each of two who ask for hours.
"""

import bisect
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from whisperd.transcript.model import PRIORITIES, Priority

_CLIENTS: Final = 1024
"""So many clocks are kept; those who asked longest ago begin anew."""
_LEAST_S: Final = 1.0
"""What has no length counts as much."""
_GREED: Final = 4
"""A client may have so many times what is left to others."""


@dataclass(eq=False, slots=True)
class Work:
    """A job as far as its turn goes."""

    seconds: float
    """Of audio; 0 for what has no length."""
    client: str
    """Who asks: a key, or an address."""
    priority: Priority = "high"
    position_s: float = 0.0
    """So much of it is done."""
    begins: float = 0.0
    """On its client's clock."""
    number: int = 0

    @property
    def left_s(self) -> float:
        """Seconds of audio still to do."""
        return max(0.0, self.seconds - self.position_s)

    @property
    def place(self) -> tuple[int, float, int]:
        """In the queue; less is nearer to its front."""
        return (PRIORITIES.index(self.priority), self.begins, self.number)


class FairQueue:
    """Those who wait, in the order of their turns."""

    def __init__(self) -> None:
        self._waiting: list[Work] = []
        self._now = 0.0
        """Where on its clock the work began that was taken last."""
        self._clocks: dict[str, float] = {}
        """Where each client's next work begins, those who asked last at the end."""
        self._numbers = itertools.count()

    def __iter__(self) -> Iterator[Work]:
        return iter(tuple(self._waiting))

    def __len__(self) -> int:
        return len(self._waiting)

    def register(self, work: Work) -> None:
        """Give new work its place. It is not in the queue yet."""
        work.begins = self._next(work.client)
        work.number = next(self._numbers)
        self._clocks.pop(work.client, None)
        self._clocks[work.client] = work.begins + max(work.seconds, _LEAST_S)
        if len(self._clocks) > _CLIENTS:
            del self._clocks[next(iter(self._clocks))]

    def enter(self, work: Work) -> None:
        """Let it wait in its place."""
        bisect.insort(self._waiting, work, key=lambda each: each.place)

    def leave(self, work: Work) -> None:
        """It waits no more."""
        self._waiting.remove(work)

    def take(self, work: Work) -> None:
        """Its turn has come."""
        self.leave(work)
        self._now = max(self._now, work.begins)

    def ahead_s(self, client: str, priority: Priority) -> float:
        """Seconds of audio that wait and would go before what this client asked for now."""
        place = (PRIORITIES.index(priority), self._next(client), next(self._numbers))
        return sum(work.seconds for work in self._waiting if work.place < place)

    def _next(self, client: str) -> float:
        return max(self._now, self._clocks.get(client, 0.0))


def may_have(own: int, free: int) -> bool:
    """Whether a client who has `own` of something may have one more of those that are free."""
    return own < _GREED * free


def may_begin(work: Work, begun: Collection[Work], slots: int) -> bool:
    """Whether there is a slot for it beside the work that has begun.

    Half of the slots, one at least, are for what nobody waits for, and no client has nearly all of them.
    """
    free = slots - len(begun)
    if free <= 0:
        return False
    if work.priority != "high":
        behind = sum(other.priority != "high" for other in begun)
        if behind >= max(1, slots // 2):
            return False
    return may_have(sum(other.client == work.client for other in begun), free)
