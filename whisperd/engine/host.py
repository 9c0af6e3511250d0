"""The worker's side of the conversation: read messages, run jobs in threads, answer.

The main thread reads, so a ping is answered while jobs run; a job that stands still shows in the pong.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

from whisperd import journal, protocol
from whisperd.codes import without_paths
from whisperd.engine import Cancelled, Progress, device
from whisperd.errors import (
    EngineError,
    OutOfMemory,
    RequestError,
    StartError,
    WhisperdError,
)
from whisperd.transcript.model import Segment

logger = logging.getLogger(__name__)

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Engine(Protocol):
    """What a kind of worker does with its jobs."""

    @property
    def concurrency(self) -> int:
        """Jobs that may run at once, each in a thread."""
        ...

    def describe(self) -> protocol.Ready:
        """What to tell the daemon once loaded."""
        ...

    def run(self, job: Any, progress: Progress, cancelled: Callable[[], bool]) -> Any:
        """Do one job. Raises WhisperdError, or Cancelled soon after `cancelled` turned true."""
        ...


Load = Callable[[protocol.Setup], Engine]


class _Running:
    """A job in hand."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.moved_at = time.monotonic()


class Host:
    """One worker process's conversation with the daemon, from Start to Stop."""

    def __init__(self, connection: socket.socket, load: Load) -> None:
        self._connection = connection
        self._load = load
        self._writing = threading.Lock()
        self._running: dict[int, _Running] = {}
        self._engine: Engine | None = None
        self._jobs: ThreadPoolExecutor | None = None

    def serve(self) -> None:
        """Run until told to stop, or until the daemon is gone."""
        while (message := self._receive()) is not None:
            match message:
                case protocol.Start():
                    journal.set_level(message.log_level)
                    threading.Thread(target=self._start, args=(message.setup,), daemon=True).start()
                case protocol.Job():
                    self._accept(message)
                case protocol.Cancel():
                    if running := self._running.get(message.id):
                        running.cancelled.set()
                case protocol.Ping():
                    self._send(protocol.Pong(message.number, self._stalled_s(), _rss_bytes()))
                case protocol.LogLevel():
                    journal.set_level(message.level)
                case protocol.Stop():
                    return

    def _start(self, setup: protocol.Setup) -> None:
        try:
            engine = self._load(setup)
        except WhisperdError as error:
            self._send(protocol.StartFailed(error.message, permanent=isinstance(error, StartError)))
            return
        except Exception as error:
            logger.exception("the %s worker could not load", type(setup).__name__)
            words = f"{type(error).__name__}: {without_paths(error)}"
            self._send(protocol.StartFailed(words, permanent=False))
            return
        self._engine = engine
        self._jobs = ThreadPoolExecutor(engine.concurrency, thread_name_prefix="job")
        self._send(engine.describe())

    def _accept(self, message: protocol.Job) -> None:
        if self._jobs is None:
            raise RuntimeError("a job came before the worker was ready")
        running = self._running[message.id] = _Running()
        self._jobs.submit(self._run, message, running)

    def _run(self, message: protocol.Job, running: _Running) -> None:
        def progress(position_s: float, segment: Segment | None = None, /) -> None:
            running.moved_at = time.monotonic()
            self._send(protocol.Event(message.id, position_s, segment))

        assert self._engine is not None  # noqa: S101 - for the type checker: _accept has checked it
        running.moved_at = time.monotonic()
        reply: protocol.Done | protocol.Failed
        try:
            if running.cancelled.is_set():
                raise Cancelled
            reply = protocol.Done(
                message.id, self._engine.run(message.job, progress, running.cancelled.is_set)
            )
        except Cancelled:
            reply = protocol.Failed(message.id, "cancelled", "cancelled")
        except WhisperdError as error:
            param = error.param if isinstance(error, RequestError) else None
            reply = protocol.Failed(message.id, error.code, error.message, param)
        except MemoryError:
            reply = protocol.Failed(message.id, OutOfMemory.code, "not enough memory for this recording")
        except Exception as error:
            if device.is_lost(error):
                # No reply to the job: the daemon ends this process, and has it done by another.
                logger.critical("the device fails, and with it this worker", exc_info=error)
                self._send(protocol.DeviceFailed(without_paths(str(error).partition("\n")[0])))
                return
            # What nobody waits for may lose its files while it goes on.
            if not running.cancelled.is_set():
                logger.exception("a %s job failed", type(message.job).__name__)
            reply = protocol.Failed(message.id, EngineError.code, "the engine failed at this recording")
        del self._running[message.id]
        self._send(reply)

    def _stalled_s(self) -> float:
        """Seconds for which the job that stands still longest has done so."""
        now = time.monotonic()
        return max((now - running.moved_at for running in tuple(self._running.values())), default=0.0)

    def _send(self, message: protocol.ToDaemon) -> None:
        data = protocol.encode(message)
        with self._writing:
            self._connection.sendall(data)

    def _receive(self) -> protocol.ToWorker | None:
        header = self._read(protocol.HEADER_BYTES)
        body = header and self._read(protocol.frame_length(header))
        return protocol.decode_to_worker(body) if body else None

    def _read(self, size: int) -> bytes | None:
        """Exactly `size` bytes, or None when the daemon has hung up."""
        data = bytearray()
        while len(data) < size:
            chunk = self._connection.recv(size - len(data))
            if not chunk:
                return None
            data += chunk
        return bytes(data)


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
