"""Start to stop: sockets, workers, readiness, watchdog, signals, reload, drain."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from whisperd import egress, journal, listen, notify, tls
from whisperd.assembly import Parts, assembled
from whisperd.config.change import changes, merged
from whisperd.config.live import Live
from whisperd.config.load import load
from whisperd.errors import ConfigError, WhisperdError
from whisperd.journal import fields
from whisperd.media.spool import Spool
from whisperd.notify import Notifier
from whisperd.plan import make_plan
from whisperd.service import Service
from whisperd.web.connections import Connections, Site
from whisperd.web.control import Reloaded, create_control
from whisperd.web.keys import METRICS, TURNSTILE

logger = logging.getLogger(__name__)

_EXTENSION_S: Final = 30.0
"""How far each sign of progress pushes systemd's start or stop time-out."""
_STATUS_INTERVAL_S: Final = 1.0
_LAST_WORDS_S: Final = 2.0
"""What is left to requests that were cut off, to say so to their callers."""


def serve(config_path: Path | None) -> int:
    """Run the daemon until it is told to stop; returns the exit status."""
    journal.setup("info")
    # Taken out of the environment, so that no child can speak for us.
    notifier = Notifier(os.environ.pop("NOTIFY_SOCKET", None))
    try:
        config = load(config_path, os.environ)
        journal.set_level(config.log.level)
        return asyncio.run(Daemon(config_path, Live(config), notifier).run())
    except WhisperdError as error:
        for line in error.message.splitlines():
            logger.error("%s", line, extra=fields(code=error.code))  # noqa: TRY400 - it says all there is
        notifier.status(" | ".join(error.message.splitlines()))
        return error.exit_code
    finally:
        notifier.close()


class Daemon:
    """The life of the service."""

    def __init__(self, config_path: Path | None, live: Live, notifier: Notifier) -> None:
        self._config_path = config_path
        self._live = live
        self._notifier = notifier
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """From bound sockets to the last worker's end. Raises StartError."""
        config = self._live.current
        self._notifier.status("Starting")
        certificate = tls.read(config.server)
        self._tls = tls.Tls(certificate) if certificate else None
        self._egress = egress.Egress(egress.read(config.fetch))
        passed = notify.passed_sockets(os.environ.pop("LISTEN_PID", None), os.environ.pop("LISTEN_FDS", None))
        listeners = passed or listen.bind(config.server.listen)
        plan = await make_plan(config, os.environ)
        for note in plan.serving.notes:
            logger.warning("%s", note.message, extra=fields(code=note.code))
        spool = Spool(config.paths.spool)
        if orphans := spool.sweep():
            logger.info("removed %d unfinished uploads of an earlier run", orphans)
        async with assembled(self._live, plan, spool, self._egress) as parts:
            await self._live_with(parts, listeners, passed=bool(passed))
        return 0

    # ---- phases ----------------------------------------------------------------------------------

    async def _live_with(self, parts: Parts, listeners: Sequence[socket.socket], *, passed: bool) -> None:
        """From the first connection to the last worker's end."""
        self._scheduler = scheduler = parts.scheduler
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._asked_to_reload)
        runner = web.AppRunner(
            parts.app,
            handle_signals=False,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_LAST_WORDS_S,
        )
        await runner.setup()
        assert runner.server  # noqa: S101 - it is what has been set up
        connections = Connections(runner.server, self._live)
        if self._tls:
            _tell_of(self._tls.certificate)
            parts.app[METRICS].watch_certificate(self._tls)
        async with self._control(self._live.current.paths.control_socket), scheduler.tended():
            try:
                # Jobs outlive the daemon: at a stop they go back to the queue, and nobody waits for them.
                async with parts.courier.tended(), parts.desk.tended():
                    # On sockets of our own, callers are told what is loading; those of a socket that systemd
                    # holds wait in its queue instead.
                    sites = [] if passed else await _open(runner, connections, listeners, self._tls)
                    for lane in scheduler.lasting_lanes():
                        lane.wake()
                    if await self._load(parts.service):
                        sites = sites or await _open(runner, connections, listeners, self._tls)
                        logger.info("serving on %s", ", ".join(map(_address, listeners)))
                        await self._serve(parts.service)
                await self._drain(parts.service, sites)
            finally:
                await runner.cleanup()
                await asyncio.gather(*(lane.end() for lane in scheduler.lasting_lanes()))

    async def _load(self, service: Service) -> bool:
        """Wait until a job could run; False when asked to stop before. Raises StartError."""
        while (reason := service.status().reason) is not None:
            if self._stop.is_set():
                return False
            self._notifier.extend(_EXTENSION_S)
            self._notifier.status(f"Loading: {reason}")
            await self._tick(_STATUS_INTERVAL_S)
        self._notifier.ready(_summary(service))
        return True

    async def _serve(self, service: Service) -> None:
        """Tell systemd how it goes until asked to stop."""
        interval_s = notify.watchdog_interval_s(
            os.environ.get("WATCHDOG_USEC"), os.environ.get("WATCHDOG_PID")
        )
        loop = asyncio.get_running_loop()
        told, fed_at = "", 0.0
        while not self._stop.is_set():
            if (summary := _summary(service)) != told:
                self._notifier.status(summary)
                told = summary
            if interval_s and loop.time() - fed_at >= interval_s and self._all_answer():
                self._notifier.watchdog()
                fed_at = loop.time()
            await self._tick(min(_STATUS_INTERVAL_S, interval_s or _STATUS_INTERVAL_S))

    async def _drain(self, service: Service, sites: list[Site]) -> None:
        """Take no new connections, let running requests end, and cut off those that take too long."""
        service.draining = True
        for site in sites:
            await site.stop()
        limit_s = self._live.current.server.drain_timeout
        self._notifier.stopping(f"Stopping: {service.active} requests may go on for {limit_s:g} s")
        self._notifier.extend(limit_s + _EXTENSION_S)
        logger.info("stopping; %d requests may go on for %g s", service.active, limit_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await service.idle()
        if service.active:
            logger.warning("cut off %d requests that did not end within %g s", service.active, limit_s)
            service.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await service.idle()

    def _all_answer(self) -> bool:
        return all(lane.worker.answering for lane in self._scheduler.all_lanes())

    async def _tick(self, seconds: float) -> None:
        """Sleep, but wake for a stop or a change of a worker; raise what ended one that must be there."""
        lanes = self._scheduler.lasting_lanes()
        waits = [
            asyncio.ensure_future(event.wait())
            for event in (self._stop, *(lane.worker.changed for lane in lanes))
        ]
        supervisions = [lane.supervision for lane in lanes if lane.supervision and not lane.resting]
        try:
            await asyncio.wait([*waits, *supervisions], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        for lane in lanes:
            lane.worker.changed.clear()
            if lane.supervision and lane.supervision.done() and not lane.resting:
                lane.supervision.result()

    # ---- being told ------------------------------------------------------------------------------

    def _asked_to_stop(self) -> None:
        self._stop.set()

    def _asked_to_reload(self) -> None:
        with contextlib.suppress(ConfigError):  # told in the journal and in STATUS
            self.reload()

    def reload(self) -> Reloaded:
        """Read the configuration again and apply what can change now.

        Raises ConfigError, and leaves everything as it was, when there is a mistake in it.
        """
        self._notifier.reloading()
        try:
            new = load(self._config_path, os.environ)
            result = merged(self._live.current, new)
            certificate, means = tls.read(result.server), egress.read(result.fetch)
        except ConfigError as error:
            logger.error("reload refused: %s", error.message)  # noqa: TRY400 - the traceback tells nothing
            self._notifier.ready(f"Reload refused: {' | '.join(error.message.splitlines())}")
            raise
        found = changes(self._live.current, new)
        applied = list(found.applied)
        self._live.current = result
        renewed = self._egress.renew(means)
        if self._tls and certificate and self._tls.renew(certificate):
            _tell_of(certificate)
            renewed.append(tls.CERTIFICATE)
        applied += [option for option in renewed if option not in applied]  # others in the same files
        level = self._live.current.log.level
        journal.set_level(level)
        for lane in self._scheduler.all_lanes():
            lane.worker.set_log_level(level)
        logger.info("reloaded; applied: %s", ", ".join(applied) or "nothing")
        if found.needs_restart:
            logger.warning("changed, but in force only after a restart: %s", ", ".join(found.needs_restart))
        self._notifier.ready("Reloaded")
        return Reloaded(applied, list(found.needs_restart))

    @contextlib.asynccontextmanager
    async def _control(self, path: Path) -> AsyncIterator[None]:
        """The socket that `whisperd reload` speaks to; its directory's mode guards it."""
        control = listen.bind_control(path)
        runner = web.AppRunner(create_control(self.reload), handle_signals=False, access_log=None)
        await runner.setup()
        try:
            await web.SockSite(runner, control).start()
            yield
        finally:
            await runner.cleanup()
            control.close()


async def _open(
    runner: web.AppRunner,
    connections: Connections,
    listeners: Sequence[socket.socket],
    secured: tls.Tls | None,
) -> list[Site]:
    """Take connections: by TLS, if it is configured, but not on Unix sockets, whose clients are proxies."""
    context = secured.context if secured else None
    sites = [
        Site(runner, connections, listener)
        if listener.family == socket.AF_UNIX
        else Site(runner, connections, listener, context, runner.app[TURNSTILE])
        for listener in listeners
    ]
    for site in sites:
        await site.start()
    return sites


def _tell_of(certificate: tls.Certificate) -> None:
    level = logging.WARNING if certificate.ends_soon() else logging.INFO
    logger.log(level, "the certificate is %s", certificate)


def _summary(service: Service) -> str:
    """One line for `systemctl status`."""
    status = service.status()
    if status.reason:
        return f"Not ready: {status.reason}"
    workers = status.all_of("transcribe")
    where = ", ".join(f"{worker.compute_type} on {worker.device}" for worker in workers)
    what = f"{workers[0].model} ({where})" if workers else "nothing"
    lost = "".join(f"; {note.message}" for note in status.notes if note.code == "device_lost")
    return f"Serving {what}: {status.running} running, {status.waiting} waiting{lost}"


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    return str(name) if isinstance(name, str) else f"{name[0]}:{name[1]}"
