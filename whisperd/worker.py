"""The daemon's side of one engine process: start, call, cancel, ping, kill, restart.

The process is started by exec with the environment that its libraries need, because the loader reads
LD_LIBRARY_PATH at that moment and at no other.
"""

import asyncio
import contextlib
import itertools
import logging
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from whisperd import protocol
from whisperd.config.live import Live
from whisperd.errors import DeviceLost, EngineError, StartError, WhisperdError, WorkerDied, WorkerHung
from whisperd.journal import fields
from whisperd.life import Call, Life, Progress
from whisperd.place import device_of, name_of
from whisperd.protocol import AnyJob, AnyResult, Kind, MappedLibrary
from whisperd.status import WorkerState

logger = logging.getLogger(__name__)

# -I as the daemon itself: neither the user's site-packages nor PYTHON* variables reach a worker.
ENGINE_COMMAND: Final = (sys.executable, *(["-I"] if sys.flags.isolated else []), "-m", "whisperd.engine")

_FIRST_BACKOFF_S: Final = 0.1
_LONGEST_BACKOFF_S: Final = 30.0
_STABLE_S: Final = 60.0
"""A worker that lived so long starts again at the first back-off."""
_STOP_S: Final = 2.0
_START_ATTEMPTS: Final = 3
"""Times that a worker may die while it loads before the daemon gives up starting."""


class Worker:
    """Supervises one engine process, through as many lives as it takes."""

    def __init__(
        self,
        kind: Kind,
        setup: protocol.Setup,
        *,
        live: Live,
        environment: Mapping[str, str],
        command: Sequence[str] = ENGINE_COMMAND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kind = kind
        self.setup = setup
        self.device = device_of(setup)
        self.name = name_of(kind, setup)
        self.state: WorkerState = "stopped"
        self.message: str | None = None
        self.restarts = 0
        self.renewals = 0
        """Times that it was started anew because of its memory."""
        self.renewing = False
        """Whether that is going on: it will be back, and whoever has a job for it may wait."""
        self.rss_bytes = 0
        self.libraries: list[MappedLibrary] = []
        self.languages: frozenset[str] = frozenset()
        self.ready = asyncio.Event()
        self.changed = asyncio.Event()
        """Set at every change of state; whoever waits for it clears it."""
        self._live = live
        self._environment = environment
        self._command = command
        self._clock = clock
        self._numbers = itertools.count(1)
        self._process: Life | None = None
        self._proven = False
        """Whether it was ever ready: then it is restarted for ever, because it could be again."""

    @property
    def pid(self) -> int | None:
        """The process's id, None between two lives."""
        return self._process.process.pid if self._process else None

    @property
    def answering(self) -> bool:
        """Whether the last ping was answered in time; a worker that is not up owes no answer."""
        return self._process is None or not self._process.silent

    @property
    def swollen(self) -> bool:
        """Whether it holds too much memory to be given more work before it is started anew."""
        return self._process is not None and self._process.swollen

    # ---- jobs ------------------------------------------------------------------------------------

    def call(self, job: AnyJob, progress: Progress | None = None) -> Call:
        """Hand over a job. Raises WorkerDied when the worker is not up."""
        life = self._process
        if life is None or not self.ready.is_set():
            raise WorkerDied(f"the {self.name} is not running")
        loop = asyncio.get_running_loop()
        call = Call(next(self._numbers), loop.create_future(), loop.create_future(), progress)
        life.calls[call.id] = call
        self._send(life, protocol.Job(call.id, job))
        return call

    def cancel(self, call: Call) -> None:
        """Say that nobody waits for this job any more."""
        if self._process and call.id in self._process.calls:
            self._send(self._process, protocol.Cancel(call.id))

    def set_log_level(self, level: str) -> None:
        """Change what the process logs; its next life learns it at the start."""
        if self._process:
            self._send(self._process, protocol.LogLevel(level))

    # ---- life and death --------------------------------------------------------------------------

    async def supervise(self) -> None:
        """Keep the process alive until cancelled. Raises StartError when it can never load."""
        backoff_s = _FIRST_BACKOFF_S
        deaths_while_loading = 0
        try:
            self._enter("restarting" if self.restarts else "starting")
            while True:
                born = self._clock()
                was_ready = await self._live_once()
                if was_ready and self._clock() - born > _STABLE_S:
                    backoff_s = _FIRST_BACKOFF_S
                deaths_while_loading = 0 if was_ready else deaths_while_loading + 1
                if deaths_while_loading == _START_ATTEMPTS and not self._proven:
                    raise StartError(f"the {self.name} {self.message}, {_START_ATTEMPTS} times in a row")
                self.restarts += 1
                self._enter("restarting", self.message)
                told = fields(worker=self.kind, device=self.device, restarts=self.restarts)
                line = "the %s %s; starting it again in %.1f s"
                logger.warning(line, self.name, self.message, backoff_s, extra=told)
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
        except StartError as error:
            self._enter("failed", error.message)
            raise
        finally:
            self.ready.clear()
            if self.state != "failed":
                self._enter("stopped")

    async def _live_once(self) -> bool:
        """One life, from exec to the last breath; returns whether it was ever ready."""
        birth = asyncio.create_task(self._exec())
        try:
            life = await asyncio.shield(birth)
        except asyncio.CancelledError:
            # A process half started can't be given up: finish starting it, then end it.
            await self._bury(await birth)
            raise
        self._process = life
        ping = asyncio.create_task(self._ping(life))
        late = asyncio.get_running_loop().call_later(
            self._live.current.workers.start_timeout, self._kill, life, "took too long to load its model"
        )
        try:
            self._send(life, protocol.Start(self.setup, self._live.current.log.level))
            await self._listen(life, late)
        finally:
            self.ready.clear()
            self._process = None
            late.cancel()
            ping.cancel()
            burial = asyncio.create_task(self._bury(life))
            try:
                await asyncio.shield(burial)
            except asyncio.CancelledError:
                await burial
                raise
        return life.loaded_bytes is not None

    async def _exec(self) -> Life:
        """Start the process with one end of a socket pair. Raises StartError."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    self.kind,
                    str(theirs.fileno()),
                    env=dict(self._environment),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                )
            except OSError as error:
                ours.close()
                raise StartError(f"the {self.name} could not be started: {error.strerror}") from error
        reader, writer = await asyncio.open_connection(sock=ours)
        return Life(process, reader, writer)

    async def _listen(self, life: Life, late: asyncio.TimerHandle) -> None:
        """Read what the worker says until it hangs up."""
        while True:
            try:
                header = await life.reader.readexactly(protocol.HEADER_BYTES)
                body = await life.reader.readexactly(protocol.frame_length(header))
                message = protocol.decode_to_daemon(body)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            except (ValueError, msgspec.ValidationError) as error:
                self._kill(life, f"spoke nonsense ({error})")
                return
            match message:
                case protocol.Ready():
                    late.cancel()
                    self._loaded(life, message)
                case protocol.StartFailed():
                    if message.permanent and not self._proven:
                        raise StartError(message.message)
                    self._kill(life, f"could not load: {message.message}")
                    return
                case protocol.Pong():
                    self._pong(life, message)
                case protocol.Event():
                    call = life.calls.get(message.id)
                    if call and call.progress and not call.result.done():
                        call.progress(message)
                case protocol.Done():
                    self._finish(life, message.id, message.result)
                case protocol.Failed():
                    self._finish(life, message.id, message.error())
                case protocol.DeviceFailed():
                    self._kill(life, f"lost its device: {message.message}", DeviceLost)

    def _loaded(self, life: Life, message: protocol.Ready) -> None:
        life.loaded_bytes = life.own_bytes
        self.libraries = message.libraries
        self.languages = frozenset(message.languages)
        self._proven = True
        self.renewing = False
        self.ready.set()
        self._enter("ready")
        told = fields(worker=self.kind, device=self.device, load_s=round(message.load_s, 3))
        logger.info("the %s is ready after %.1f s", self.name, message.load_s, extra=told)
        for library in message.libraries:
            if not library.chosen:
                line = "the %s uses %s, which is not the one that belongs to whisperd"
                told = fields(worker=self.kind, library=library.path)
                logger.warning(line, self.name, library.path, extra=told)

    async def _ping(self, life: Life) -> None:
        """Ask for a sign of life again and again; kill what gives none.

        While it loads it may be deaf, in an import of seconds; that has a time-out of its own.
        """
        await self.ready.wait()
        while True:
            life.pinged += 1
            life.silent = False
            self._send(life, protocol.Ping(life.pinged))
            workers = self._live.current.workers
            life.answered.clear()
            await asyncio.sleep(workers.ping_interval)
            life.silent = not life.answered.is_set()
            try:
                async with asyncio.timeout(max(0.0, workers.ping_timeout - workers.ping_interval)):
                    await life.answered.wait()
            except TimeoutError:
                self._kill(life, f"gave no sign of life for {workers.ping_timeout:g} s")
                return

    def _pong(self, life: Life, message: protocol.Pong) -> None:
        if message.number == life.pinged:
            life.answered.set()
            life.silent = False
        self.rss_bytes = message.rss_bytes
        if message.stalled_s > self._live.current.workers.stall_timeout:
            self._kill(life, f"made no progress for {message.stalled_s:.0f} s")
        self._weigh(life)

    def _weigh(self, life: Life) -> None:
        """Look at its memory; when that is too much, and it has no job in its hands, start it anew."""
        if life.loaded_bytes is None or life.verdict:
            return
        grown = life.own_bytes - life.loaded_bytes
        limit = self._live.current.workers.memory_growth
        life.swollen = grown > limit
        if life.swollen and not life.calls:
            life.renewed = self.renewing = True
            self.renewals += 1
            self.ready.clear()
            held = f"held {grown / 2**20:.0f} MiB more than when it was loaded"
            self._kill(life, f"{held}; workers.memory_growth is {limit}")

    def _kill(self, life: Life, verdict: str, cause: type[EngineError] = WorkerHung) -> None:
        """End this life; what it held fails by that cause."""
        life.verdict, life.cause = verdict, cause
        with contextlib.suppress(ProcessLookupError):
            life.process.kill()

    async def _bury(self, life: Life) -> None:
        """Wait for the end, forcing it if need be, and answer for what was in its hands."""
        try:
            with contextlib.suppress(ConnectionError):
                self._send(life, protocol.Stop())
            async with asyncio.timeout(_STOP_S):
                await life.process.wait()
        except TimeoutError:
            life.process.kill()
            await life.process.wait()
        life.writer.close()
        self.rss_bytes = 0
        self.renewing = life.renewed
        self.message = life.end
        error = life.error(self.name)
        for number in tuple(life.calls):
            self._finish(life, number, error)

    def _finish(self, life: Life, number: int, outcome: AnyResult | WhisperdError) -> None:
        call = life.calls.pop(number, None)
        if call is None:
            return
        if not call.result.done():
            if isinstance(outcome, WhisperdError):
                call.result.set_exception(outcome)
            else:
                call.result.set_result(outcome)
        call.finished.set_result(None)
        if life.swollen:
            self._weigh(life)

    def _send(self, life: Life, message: protocol.ToWorker) -> None:
        if not life.writer.is_closing():
            life.writer.write(protocol.encode(message))

    def _enter(self, state: WorkerState, message: str | None = None) -> None:
        self.state = state
        self.message = message
        self.changed.set()
