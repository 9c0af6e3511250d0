"""One life of a worker's process: what is in its hands, and what it ended by."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from whisperd import memory
from whisperd.errors import EngineError, WorkerDied, WorkerHung
from whisperd.protocol import AnyResult, Event

Progress = Callable[[Event], None]


@dataclass(eq=False)
class Call:
    """One job in a worker's hands."""

    id: int
    result: asyncio.Future[AnyResult]
    """What the caller waits for."""
    finished: asyncio.Future[None]
    """Done when the worker is rid of the job, which after a cancellation is later than `result`."""
    progress: Progress | None


@dataclass
class Life:
    """From exec to the end of the process."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    calls: dict[int, Call] = field(default_factory=dict)
    pinged: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the answer to the last ping."""
    silent: bool = False
    """It is unanswered after a whole interval."""
    loaded_bytes: int | None = None
    """Memory that it held when it was ready, which it never was while this is None."""
    swollen: bool = False
    """Whether it holds too much more now."""
    renewed: bool = False
    """Whether it was ended for that."""
    verdict: str | None = None
    """Why we killed it; None when it died by itself."""
    cause: type[EngineError] = WorkerHung
    """What its jobs fail with where we did."""

    @property
    def own_bytes(self) -> int:
        """Memory that it holds now; 0 when it is gone."""
        return memory.own_bytes(self.process.pid)

    @property
    def end(self) -> str:
        """How it ended, once it has."""
        code = self.process.returncode or 0
        if self.verdict:
            return self.verdict
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"

    def error(self, name: str) -> EngineError:
        """What its jobs fail with, once it has ended; `name` is the worker's."""
        if self.verdict:
            return self.cause(f"the {name} {self.end} and was stopped")
        return WorkerDied(f"the {name} {self.end}")
