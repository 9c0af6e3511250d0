"""`python -m benchmarks.diarization_memory [HOURS ...]`: peak memory of text and speakers."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from running import Daemon

from .client import form, post
from .material import cut
from .report import Figure, load, show

GOALS_MB = {"diarize": 2000, "all": 2500}


def measure(directory: Path, hours: float) -> Iterator[Figure]:
    """Of the worker that diarizes, and of the daemon and all its workers together."""
    recording = cut(directory / "long.wav", seconds=hours * 3600)
    with Daemon(directory) as daemon:
        post(daemon.port, form("/v1/audio/transcriptions", recording, response_format="diarized_json"))
        process = psutil.Process(daemon.process.pid)
        peaks = {
            " ".join(one.cmdline()): _peak_mb(one.pid) for one in [process, *process.children(recursive=True)]
        }
    diarizing = sum(peak for command, peak in peaks.items() if " diarize" in command)
    yield Figure(f"{hours:g} h: the worker that diarizes", diarizing, "MB", GOALS_MB["diarize"])
    yield Figure(f"{hours:g} h: all processes together", sum(peaks.values()), "MB", GOALS_MB["all"])


def _peak_mb(pid: int) -> float:
    """The most that a process has had in memory, the recording that it maps counted in."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def main() -> None:
    """Measure recordings of so many hours."""
    for hours in map(float, sys.argv[1:] or ["1"]):
        title = f"memory of {hours:g} h (load before it: {load()})"
        with tempfile.TemporaryDirectory(prefix="whisperd-") as directory:
            show(title, list(measure(Path(directory), hours)))


if __name__ == "__main__":
    main()
