"""The daemon's own process, without its workers: resident memory before and after a thousand requests."""

import concurrent.futures
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
from running import Daemon

from .client import form, post
from .material import cut, speech_of_11_s
from .report import Figure

GOAL_MB: Final = 80
REQUESTS: Final = 1000
_EVERY: Final = 50
"""One request in so many sends 11 s; the others 0.3 s."""
_AT_ONCE: Final = 4


def measure(directory: Path) -> Iterator[Figure]:
    """Real workers, real uploads, replies with segments and words."""
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    short = form("/v1/audio/transcriptions", cut(directory / "short.wav", seconds=0.3), **fields)
    longer = form("/v1/audio/transcriptions", speech_of_11_s(directory), **fields)
    with Daemon(directory, {"WHISPERD_DIARIZE__ENABLED": "false"}) as daemon:
        process = psutil.Process(daemon.process.pid)
        yield Figure("memory when ready", _resident_mb(process), "MB", GOAL_MB)
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            uploads = [short if number % _EVERY else longer for number in range(REQUESTS)]
            list(pool.map(lambda upload: post(daemon.port, upload), uploads))
        yield Figure(f"memory after {REQUESTS} requests", _resident_mb(process), "MB", GOAL_MB)


def _resident_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6
