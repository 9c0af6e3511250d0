"""The state of the service as a value: what `/health`, `/metrics`, STATUS= and the CLI tell."""

import datetime
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from whisperd.protocol import Kind
from whisperd.transcript.model import Notice

WorkerState = Literal["starting", "ready", "restarting", "failed", "stopped", "unloaded"]
"""`unloaded`: nothing is in memory; the next job loads it."""


class WorkerStatus(Struct, frozen=True, kw_only=True):
    """One engine process."""

    kind: Kind
    state: WorkerState
    message: str | None = None
    """Why it is not ready."""
    model: str | None = None
    device: str | None = None
    """`cpu`, `cuda:0`; None for the decoder."""
    device_name: str | None = None
    """The card's name, None on the CPU."""
    compute_type: str | None = None
    pid: int | None = None
    rss_bytes: int = 0
    restarts: int = 0
    renewals: int = 0
    """Of these, those because of its memory."""
    running: int = 0
    """Jobs in its hands."""
    waiting: int = 0
    """Jobs that wait for it, or for another that does the same on another device."""


class QueueStatus(Struct, frozen=True, kw_only=True):
    """What there is to do for all workers of a model."""

    kind: Kind
    model: str
    running: int
    """Jobs in hands."""
    waiting: int
    """Jobs that wait for their turn."""
    audio_s: float
    """Seconds of audio still to do, of both."""
    speed: float
    """Seconds of audio that are done in a second, all devices together, as measured while they work."""
    wait_s: float
    """Until it is done at that speed, in seconds."""


@dataclass(slots=True)
class Tally:
    """Requests since the start."""

    queued: int = 0
    """Admitted, those being worked on among them."""
    processed: int = 0
    """At their end, good or bad."""
    last_processed_at: datetime.datetime | None = None
    """UTC."""


class Status(Struct, frozen=True, kw_only=True):
    """The whole service."""

    ready: bool
    reason: str | None
    """Why a job could not run now; None when ready."""
    draining: bool
    version: str
    uptime_s: float
    running: int
    """Requests being worked on."""
    waiting: int
    """Requests that wait for their turn."""
    workers: list[WorkerStatus]
    queues: list[QueueStatus] = []
    """What there is to do in each kind of work that takes its time from the length of recordings."""
    notes: list[Notice] = []
    """What is less than it could be, `auto` having ended on the CPU first of all."""

    def worker(self, kind: Kind) -> WorkerStatus | None:
        """The worker of a kind, if the configuration has one; of several, on as many devices, a ready one."""
        workers = self.all_of(kind)
        return next(
            (worker for worker in workers if worker.state == "ready"), workers[0] if workers else None
        )

    def all_of(self, kind: Kind) -> list[WorkerStatus]:
        """The workers of a kind that the daemon was started with, one for each device."""
        first = next((worker for worker in self.workers if worker.kind == kind), None)
        return [worker for worker in self.workers if first and _what(worker) == _what(first)]


def _what(worker: WorkerStatus) -> tuple[object, ...]:
    """What those have in common that differ by their card alone."""
    return (worker.kind, worker.model, worker.device == "cpu")
