"""`python -m benchmarks.peak [MODEL ...]`: the most memory that an hour's text and speakers take.

Measured is the proportional set size, summed over the daemon and all its workers at the same moment: a page
that several of them map, as of the recording or of a library, counts once in all.
"""

import contextlib
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
from running import Daemon

from .client import form, post
from .diarization import long_recording
from .report import Figure, load, show

GOAL_MB: Final = 2500
MODEL: Final = "base"
SECONDS: Final = 3600
_EVERY_S: Final = 0.5
_DAEMON: Final = "the daemon itself"


def measure(directory: Path, model: str = MODEL, seconds: float = SECONDS) -> Iterator[Figure]:
    """All processes together, at their worst moment; and each at its own."""
    recording = long_recording(directory / "long.wav", seconds)
    upload = form("/v1/audio/transcriptions", recording, response_format="diarized_json")
    with Daemon(directory, {"WHISPERD_TRANSCRIBE__MODEL": model}) as daemon:
        process = psutil.Process(daemon.process.pid)
        before = memory_mb(process)
        with watched(process) as moments:
            took_s = post(daemon.port, upload)
        after = memory_mb(process)
    how = f"{took_s:.0f} s, {before.total():.0f} MB before, {after.total():.0f} MB after"
    together = max(moment.total() for moment in moments)
    yield Figure(f"{seconds:g} s ({model}): all processes together", together, "MB", GOAL_MB, how)
    for name in sorted({name for moment in moments for name in moment}):
        peak = max(moment[name] for moment in moments)
        how = f"{before[name]:.0f} MB before, {after[name]:.0f} MB after"
        yield Figure(f"  {name}, at its own peak", peak, "MB", None, how)


@contextlib.contextmanager
def watched(process: psutil.Process) -> Iterator[list[Counter[str]]]:
    """What a daemon and its workers hold, twice a second."""
    moments: list[Counter[str]] = []
    over = threading.Event()

    def watch() -> None:
        moments.append(memory_mb(process))
        while not over.wait(_EVERY_S):
            moments.append(memory_mb(process))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield moments
    finally:
        over.set()
        watching.join()


def memory_mb(process: psutil.Process) -> Counter[str]:
    """Whole megabytes of a daemon and of its workers, by what they do."""
    found: Counter[str] = Counter()
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            command = one.cmdline()
            name = command[command.index("whisperd.engine") + 1] if "whisperd.engine" in command else _DAEMON
            found[name] += round(one.memory_full_info().pss / 1e6)
    return found


def main() -> None:
    """Measure with each of these models."""
    for model in sys.argv[1:] or [MODEL]:
        title = f"peak (load before it: {load()})"
        with tempfile.TemporaryDirectory(prefix="whisperd-") as directory:
            show(title, list(measure(Path(directory), model)))


if __name__ == "__main__":
    main()
