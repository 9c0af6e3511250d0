"""Mutated recordings, given to the worker that decodes: refused or decoded, nothing else."""

import asyncio
import contextlib
import itertools
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from fuzz import mutate, seeds
from whisperd.config.live import Live
from whisperd.config.schema import Config, Paths
from whisperd.errors import EngineError, MediaError, WhisperdError
from whisperd.protocol import Decoded, DecodeJob, DecodeSetup
from whisperd.worker import Worker

_MAX_DURATION_S = 600.0
_HANG_S = 60.0
_AT_ONCE = 2
_BROKE_DOWN = ("broke down", "computing time", "standstill", "more memory")
"""What is said of files that ended their process; the daemon lives, but the file is worth a look."""
_OUTSIDE = ("/", "Traceback", "Errno")
"""What no message to a caller may hold."""
_NAMES_OF_CONTAINERS = ("ogg/opus", "mp4/m4a/mov", "webm/mkv", "asf/wma")


@dataclass
class Counts:
    """What became of the mutants of one recording."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0


@dataclass
class Found:
    """What a run found."""

    by_seed: dict[str, Counts]
    peak_bytes: int = 0
    """Of the worker and its processes, together."""
    faults: list[str] = field(default_factory=list)
    """What must not be: a worker that died, an error that nobody foresaw, a message that tells too much."""
    suspects: int = 0
    """Files that ended their own process."""

    @property
    def cases(self) -> int:
        """Mutants."""
        return sum(counts.outcomes.total() for counts in self.by_seed.values())

    def table(self) -> str:
        """As it is printed."""
        kinds = ("decoded", "cut", "refused", "ended", "fault")
        rows: list[tuple[str, ...]] = [("seed", "cases", *kinds, "slowest")]
        for name, counts in self.by_seed.items():
            numbers = [str(counts.outcomes[kind]) for kind in kinds]
            rows.append((name, str(counts.outcomes.total()), *numbers, f"{counts.slowest_s:.1f} s"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
        told = f"{self.cases} cases, {self.suspects} ended their process, {len(self.faults)} faults, peak "
        return "\n".join([*lines, f"{told}{self.peak_bytes / 2**20:.0f} MiB"])


async def run(seconds: float, seed: int, kept: Path) -> Found:
    """Fuzz for so long; what failed is kept, as `SEED-NUMBER-NAME`, beside what was said of it."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        originals = seeds.make(directory)
        found = Found({name: Counts() for name in originals})
        numbers = itertools.count()
        async with _worker(directory) as worker:
            until = time.monotonic() + seconds
            watching = asyncio.create_task(_watch(worker, found))
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(_feed(worker, originals, numbers, seed, directory, until, found, kept))
            watching.cancel()
            await asyncio.wait([watching])
            if worker.restarts:
                found.faults.append(f"the worker died {worker.restarts} times")
    return found


@contextlib.asynccontextmanager
async def _worker(directory: Path) -> AsyncIterator[Worker]:
    """The decoder, as the daemon has it."""
    config = Config(paths=Paths(state=directory, spool=directory, run=directory))
    setup = DecodeSetup(concurrency=_AT_ONCE, max_duration_s=_MAX_DURATION_S)
    worker = Worker("decode", setup, live=Live(config), environment=dict(os.environ))
    supervision = asyncio.create_task(worker.supervise())
    try:
        await worker.ready.wait()
        yield worker
    finally:
        supervision.cancel()
        await asyncio.wait([supervision])


async def _feed(
    worker: Worker,
    originals: dict[str, bytes],
    numbers: Iterator[int],
    seed: int,
    directory: Path,
    until: float,
    found: Found,
    kept: Path,
) -> None:
    others = list(originals.values())
    while time.monotonic() < until:
        number = next(numbers)
        rng = random.Random(f"{seed} {number}")
        name = rng.choice(list(originals))
        mutant = mutate.mutated(originals[name], others, rng)
        source = directory / str(number)
        source.write_bytes(mutant)
        begun = time.monotonic()
        outcome, said = await _decode(worker, source)
        counts = found.by_seed[name]
        counts.outcomes[outcome] += 1
        counts.slowest_s = max(counts.slowest_s, time.monotonic() - begun)
        if outcome == "fault":
            found.faults.append(f"{name}: {said}")
        found.suspects += outcome == "ended"
        if outcome in ("ended", "fault"):
            _keep(kept / f"{seed}-{number}-{name}", mutant, said)
        _remove(source)


def _keep(path: Path, mutant: bytes, said: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mutant)
    path.with_name(f"{path.name}.said").write_text(f"{said}\n", encoding="utf-8")


def _remove(source: Path) -> None:
    for path in (source, _target(source)):
        path.unlink(missing_ok=True)


def _target(source: Path) -> Path:
    return source.with_name(f"{source.name}.f32")


async def _decode(worker: Worker, source: Path) -> tuple[str, str]:
    """What became of it, and what was said."""
    target = _target(source)
    await worker.ready.wait()
    try:
        async with asyncio.timeout(_HANG_S):
            result = await worker.call(DecodeJob(str(source), str(target))).result
    except TimeoutError:
        return "fault", f"no answer within {_HANG_S:g} s"
    except EngineError as error:
        return "fault", error.message
    except MediaError as error:
        return _refused(error), error.message
    except WhisperdError as error:
        return "fault", f"{error.code}: {error.message}"
    assert isinstance(result, Decoded)
    if target.stat().st_size != 4 * result.samples:
        return "fault", f"{result.samples} samples, and a file of {target.stat().st_size} bytes"
    return ("cut" if result.truncated else "decoded"), ""


def _refused(error: MediaError) -> str:
    """Whether the file was refused, ended its process, or its error tells too much."""
    told = error.message
    for name in _NAMES_OF_CONTAINERS:
        told = told.replace(name, "")
    if any(text in told for text in _OUTSIDE):
        return "fault"
    return "ended" if any(text in told for text in _BROKE_DOWN) else "refused"


async def _watch(worker: Worker, found: Found) -> None:
    """Look at the memory now and then."""
    while True:
        with contextlib.suppress(psutil.Error):
            if worker.pid:
                process = psutil.Process(worker.pid)
                family = [process, *process.children()]
                found.peak_bytes = max(found.peak_bytes, sum(each.memory_info().rss for each in family))
        await asyncio.sleep(0.05)
