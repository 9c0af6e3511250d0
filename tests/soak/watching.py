"""What a daemon holds while it works and when it rests: memory, descriptors, processes, files."""

import asyncio
import contextlib
import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from benchmarks.peak import memory_mb

_EVERY_S: Final = 5.0
_OLD_S: Final = 1800.0
"""Nothing in the spool is needed for so long."""
_WARM_SHARE: Final = 0.15
_LONGEST_WARMING_S: Final = 900.0
_WINDOW_SHARE: Final = 0.35
_LONGEST_WINDOW_S: Final = 1800.0
_MORE_DESCRIPTORS: Final = 10
"""As many more may be open for what is under way just then."""


@dataclass(frozen=True)
class Moment:
    """What all processes together hold."""

    at_s: float
    """Since the watch began."""
    memory_mb: Counter[str]
    """Proportional set size, by what a process does."""
    descriptors: int
    """Of the daemon itself."""
    processes: int
    spooled: int
    """Directories of requests."""


@dataclass(frozen=True)
class Window:
    """A stretch of the watch."""

    memory_mb: float
    """Median."""
    descriptors: float
    """Median."""


class Watch:
    """Looks at a daemon again and again."""

    def __init__(self, daemon: psutil.Process, spool: Path) -> None:
        self.moments: list[Moment] = []
        self.old: set[str] = set()
        """What lay in the spool for too long."""
        self._daemon = daemon
        self._spool = spool
        self._began = time.monotonic()

    async def look_on(self) -> None:
        """Until cancelled."""
        while True:
            self.moments.append(await asyncio.to_thread(self._look))
            await asyncio.sleep(_EVERY_S)

    def _look(self) -> Moment:
        now = time.time()
        spooled = list(self._spool.iterdir())
        for path in spooled:
            with contextlib.suppress(FileNotFoundError):
                if now - path.stat().st_mtime > _OLD_S:
                    self.old.add(path.name)
        return Moment(
            at_s=time.monotonic() - self._began,
            memory_mb=memory_mb(self._daemon),
            descriptors=self._daemon.num_fds(),
            processes=1 + len(self._daemon.children(recursive=True)),
            spooled=len(spooled),
        )

    def windows(self) -> tuple[Window, Window]:
        """The first and the last half hour after warming up, or less where the watch was shorter."""
        end = self.moments[-1].at_s
        warm = min(_LONGEST_WARMING_S, _WARM_SHARE * end)
        length = min(_LONGEST_WINDOW_S, _WINDOW_SHARE * end)
        return _window(self.moments, warm, warm + length), _window(self.moments, end - length, end)

    def wrong(self, growth: float) -> list[str]:
        """What grew, or lay about; memory may be more by this share."""
        first, last = self.windows()
        found = [f"{name} lay in the spool for more than {_OLD_S:.0f} s" for name in sorted(self.old)]
        if last.memory_mb > first.memory_mb * (1 + growth):
            found.append(f"memory grew from {first.memory_mb:.0f} to {last.memory_mb:.0f} MB")
        if last.descriptors > first.descriptors + _MORE_DESCRIPTORS:
            found.append(f"descriptors grew from {first.descriptors:.0f} to {last.descriptors:.0f}")
        return found


def _window(moments: Sequence[Moment], start_s: float, end_s: float) -> Window:
    within = [moment for moment in moments if start_s <= moment.at_s <= end_s]
    return Window(
        statistics.median(moment.memory_mb.total() for moment in within),
        statistics.median(moment.descriptors for moment in within),
    )


@dataclass(frozen=True)
class Rest:
    """What a daemon holds while nobody asks for anything."""

    descriptors: Counter[str]
    """What each leads to, of the daemon itself."""
    processes: int
    spooled: frozenset[str]

    def more_than(self, other: "Rest") -> list[str]:
        """What there is more of than there was."""
        found = [
            f"{count} descriptors more lead to {target}"
            for target, count in (self.descriptors - other.descriptors).items()
        ]
        if self.processes > other.processes:
            found.append(f"there are {self.processes} processes, and were {other.processes}")
        return found + [f"{name} is left in the spool" for name in sorted(self.spooled)]


def at_rest(daemon: psutil.Process, spool: Path) -> Rest:
    """Now."""
    targets: Counter[str] = Counter()
    for descriptor in Path(f"/proc/{daemon.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            # The numbers of sockets and pipes are others after each restart of a worker.
            targets[str(descriptor.readlink()).partition(":")[0]] += 1
    return Rest(
        targets,
        len(daemon.children(recursive=True)),
        frozenset(path.name for path in spool.iterdir()),
    )


def files(directory: Path) -> set[str]:
    """The files below a directory, but for what its links lead to."""
    return {
        str((Path(base) / name).relative_to(directory))
        for base, _, names in os.walk(directory)
        for name in names
    }
