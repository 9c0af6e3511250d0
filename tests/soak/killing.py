"""Workers that are killed, one kind after the other, and when that was."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

import psutil

KINDS: Final = ("transcribe", "decode", "diarize")
_BACK_WITHIN_S: Final = 60.0
"""A worker that was killed may be missed for so long, on a machine that has much else to do."""


class Killings:
    """What was killed so far."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self._moments: list[float] = []

    def note(self, kind: str) -> None:
        """One of this kind was killed now."""
        self.kinds[kind] += 1
        self._moments.append(time.monotonic())

    def between(self, start: float, end: float) -> int:
        """How many were killed in this time."""
        return sum(start <= moment <= end for moment in self._moments)

    def recent(self, moment: float) -> bool:
        """Whether a worker may have been on its way back at some time after that moment."""
        return any(killed > moment - _BACK_WITHIN_S for killed in self._moments)


async def kill_workers(
    daemon: psutil.Process, killings: Killings, *, every_s: float, chance: random.Random
) -> None:
    """Go on until cancelled."""
    dealt = _deal(chance)
    while True:
        await asyncio.sleep(every_s * chance.uniform(0.8, 1.2))
        kind = next(dealt)
        for worker in workers(daemon, kind):
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
                killings.note(kind)


def workers(daemon: psutil.Process, kind: str) -> list[psutil.Process]:
    """The daemon's own children of this kind; theirs are not among them."""
    return [child for child in daemon.children() if kind_of(child) == kind]


def kind_of(process: psutil.Process) -> str | None:
    """What a worker does; None for what is no worker, or has just ended."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return None
    return command[command.index("whisperd.engine") + 1] if "whisperd.engine" in command else None


def _deal(chance: random.Random) -> Iterator[str]:
    while True:
        yield from chance.sample(KINDS, len(KINDS))
