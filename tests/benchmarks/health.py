"""How long `GET /health` takes while both engines are busy with an hour of audio."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from running import Daemon, eventually

from .client import form, get, send
from .material import cut
from .report import Figure, percentile, spread

GOAL_MS: Final = 20
HOUR_S: Final = 3600
SECONDS: Final = 30
INTERVAL_S: Final = 0.05
_BUSY_WITHIN_S: Final = 120


def measure(directory: Path) -> Iterator[Figure]:
    """20 requests a second, each over a new connection."""
    upload = form("/v1/audio/transcriptions", cut(directory / "hour.wav", seconds=HOUR_S), diarize="true")
    with Daemon(directory, {"WHISPERD_SERVER__DRAIN_TIMEOUT": "0s"}) as daemon:
        connection = send(daemon.port, upload)
        for _ in eventually(_BUSY_WITHIN_S):
            if _busy(daemon):
                break
        milliseconds = []
        end = time.perf_counter() + SECONDS
        while (now := time.perf_counter()) < end:
            milliseconds.append(1000 * get(daemon.port, "/health")[0])
            time.sleep(max(0.0, now + INTERVAL_S - time.perf_counter()))
        if not _busy(daemon):
            raise RuntimeError("an engine was done before the measurement was")
        connection.close()
    yield Figure(
        "GET /health beside an hour of audio, 99th percentile",
        percentile(milliseconds, 99),
        "ms",
        GOAL_MS,
        spread(milliseconds),
    )
    yield Figure("  the slowest of them", max(milliseconds), "ms")


def _busy(daemon: Daemon) -> bool:
    """Whether both engines have a job in their hands."""
    workers = json.loads(get(daemon.port, "/health")[1])["workers"]
    return {"transcribe", "diarize"} <= {worker["kind"] for worker in workers if worker["running"]}
