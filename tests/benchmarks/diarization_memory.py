"""`python -m benchmarks.diarization_memory [HOURS ...]`: the most memory that telling speakers apart takes.

Measured is the resident set of the worker, the recording that it maps counted in.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
from running import Daemon

from .client import form, post
from .diarization import long_recording
from .report import Figure, load, show

GOAL_MB: Final = 2000


def measure(directory: Path, hours: float) -> Iterator[Figure]:
    """Of the worker that diarizes."""
    recording = long_recording(directory / "long.wav", hours * 3600)
    with Daemon(directory) as daemon:
        worker = daemon.worker("diarize")
        before = _resident_mb(worker)
        took_s = post(daemon.port, form("/v1/audio/diarization", recording))
        peak, after = _peak_mb(worker), _resident_mb(worker)
    how = f"{took_s:.0f} s; {before:.0f} MB before, {after:.0f} MB after"
    yield Figure(f"{hours:g} h: the worker that diarizes", peak, "MB", GOAL_MB, how)


def _peak_mb(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def _resident_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


def main() -> None:
    """Measure recordings of so many hours."""
    for hours in map(float, sys.argv[1:] or ["1"]):
        title = f"memory of {hours:g} h (load before it: {load()})"
        with tempfile.TemporaryDirectory(prefix="whisperd-") as directory:
            show(title, list(measure(Path(directory), hours)))


if __name__ == "__main__":
    main()
