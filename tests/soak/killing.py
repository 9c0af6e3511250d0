"""Workers that are killed, one kind after the other, and how long they were missed."""

import asyncio
import contextlib
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

import psutil

KINDS: Final = ("transcribe", "decode", "diarize")
BACK_WITHIN_S: Final = 120.0
"""On a machine that has much else to do."""
_LOOK_S: Final = 0.5
_SLACK_S: Final = 1.0
"""Between its return and the moment at which that was seen."""


@dataclass
class Killing:
    """One worker's end."""

    kind: str
    killed: float
    back: float = math.inf
    """When the daemon was ready again."""

    @property
    def missed_s(self) -> float:
        """How long it was missed."""
        return self.back - self.killed


class Killings:
    """What was killed so far."""

    def __init__(self) -> None:
        self.all: list[Killing] = []

    def note(self, kind: str) -> Killing:
        """One of this kind was killed now."""
        self.all.append(Killing(kind, time.monotonic()))
        return self.all[-1]

    def kinds(self) -> Counter[str]:
        """How many of each."""
        return Counter(killing.kind for killing in self.all)

    def between(self, start: float, end: float) -> int:
        """How many were killed in this time."""
        return sum(start <= killing.killed <= end for killing in self.all)

    def missed(self, start: float, end: float) -> bool:
        """Whether a worker was missed at some moment of this time."""
        return any(killing.killed <= end and start <= killing.back + _SLACK_S for killing in self.all)

    def wrong(self) -> list[str]:
        """Who did not come back in time."""
        return [
            f"{killing.kind} was not back {BACK_WITHIN_S:.0f} s after it was killed"
            for killing in self.all
            if killing.missed_s > BACK_WITHIN_S
        ]


async def kill_workers(
    daemon: psutil.Process,
    killings: Killings,
    is_ready: Callable[[], Awaitable[bool]],
    *,
    every_s: float,
    chance: random.Random,
) -> None:
    """Go on until cancelled; the next one is killed when the one before is back."""
    dealt = _deal(chance)
    while True:
        await asyncio.sleep(every_s * chance.uniform(0.8, 1.2))
        kind = next(dealt)
        for worker in workers(daemon, kind):
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
                killing = killings.note(kind)
                try:
                    await _return(daemon, killing, worker.pid, is_ready)
                except asyncio.CancelledError:
                    # The last one has to come back too.
                    await _return(daemon, killing, worker.pid, is_ready)
                    raise


async def _return(
    daemon: psutil.Process, killing: Killing, pid: int, is_ready: Callable[[], Awaitable[bool]]
) -> None:
    while time.monotonic() < killing.killed + BACK_WITHIN_S:
        await asyncio.sleep(_LOOK_S)
        successors = [worker for worker in workers(daemon, killing.kind) if worker.pid != pid]
        if successors and await is_ready():
            killing.back = time.monotonic()
            return


def workers(daemon: psutil.Process, kind: str) -> list[psutil.Process]:
    """The daemon's own children of this kind; theirs are not among them."""
    return [child for child in daemon.children() if _kind_of(child) == kind]


def _kind_of(process: psutil.Process) -> str | None:
    """What a worker does; None for what is no worker, or has just ended."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return None
    return command[command.index("whisperd.engine") + 1] if "whisperd.engine" in command else None


def _deal(chance: random.Random) -> Iterator[str]:
    while True:
        yield from chance.sample(KINDS, len(KINDS))
