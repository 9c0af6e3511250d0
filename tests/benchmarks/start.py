"""From exec to READY=1."""

import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from running import Daemon

from .report import Figure, spread

GOAL_S: Final = 0.5
STARTS: Final = 15


class _WithoutEngines(Daemon):
    """Its workers load nothing."""

    program = (sys.executable, str(Path(__file__).with_name("without_engines.py")))


def measure(directory: Path) -> Iterator[Figure]:
    """Without models, and for comparison with them."""
    bare = [_seconds(_WithoutEngines, directory) for _ in range(STARTS)]
    yield Figure("start to READY, without models", statistics.median(bare), "s", GOAL_S, spread(bare))
    text = {"WHISPERD_DIARIZE__ENABLED": "false"}
    loaded = [_seconds(Daemon, directory, text) for _ in range(3)]
    yield Figure("start to READY, tiny.en", statistics.median(loaded), "s", None, spread(loaded))
    both = [_seconds(Daemon, directory) for _ in range(3)]
    yield Figure("start to READY, tiny.en and diarization", statistics.median(both), "s", None, spread(both))


def _seconds(kind: type[Daemon], directory: Path, settings: Mapping[str, str] | None = None) -> float:
    """One start."""
    daemon = kind(directory, settings)
    started = time.perf_counter()
    with daemon:
        return time.perf_counter() - started
