"""The victim on this machine: a process, and where that is possible a disk of its own."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import psutil
from running import STATE, Daemon

from torture.client import Connect
from torture.disk import Disk, empty, fill, why_no_disk
from torture.wal import tear

SETTINGS: Final = {
    "WHISPERD_DIARIZE__ENABLED": "false",
    "WHISPERD_TRANSCRIBE__BEAM_SIZE": "1",
    "WHISPERD_FETCH__ALLOW": "127.0.0.1/32",
    "WHISPERD_SERVER__DRAIN_TIMEOUT": "5s",
    # A job whose worker is killed over and over has not failed by itself.
    "WHISPERD_JOBS__ATTEMPTS": "100",
    "WHISPERD_JOBS__KEEP_AUDIO": "7d",
    # Full is full: nothing is refused beforehand, nor does anything go before its time.
    "WHISPERD_JOBS__DISK_RESERVE": "1B",
    "WHISPERD_LIMITS__DISK_RESERVE": "1B",
}
_READY_WITHIN_S: Final = 120
_STOPPED_WITHIN_S: Final = 40
_GONE_WITHIN_S: Final = 10
_RESTART_S: Final = 1
_NO_USE: Final = 78
_DISK_MIB: Final = 256


class LocalVictim:
    """See `torture.victim.Victim`; `jobs` and the other paths are this machine's."""

    connect: Connect | None = None

    def __init__(self, directory: Path, disk: Disk | None) -> None:
        self.without: Mapping[str, str] = dict.fromkeys(
            () if disk else ("lose power", "fill disk"), why_no_disk() or ""
        )
        self._disk = disk
        self._directory = directory
        state = disk.path if disk else directory
        self.jobs = state / "jobs"
        for shared in ("models", "cache"):
            (state / shared).symlink_to(STATE / shared)
        os.sync()
        self._daemon = Daemon(directory, SETTINGS | {"WHISPERD_PATHS__STATE": str(state)})
        self.url = self._daemon.url
        self._address = ("127.0.0.1", 0)
        self._is_full = False
        self._was_full = False
        """Whether the disk was full since it was ready: then it may end, to be started again."""

    def listen(self) -> socket.socket:
        listening = socket.create_server(self._address)
        self._address = listening.getsockname()
        return listening

    async def ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            if self._daemon.process.poll() is None:
                with contextlib.suppress(AssertionError):
                    await asyncio.to_thread(self._daemon.wait_for_notification, "READY=1", _READY_WITHIN_S)
                    self._was_full = self._is_full
                    return
            # As the unit has it: started again, but for a status that says that this is no use.
            if not self._was_full or self._daemon.process.poll() in (None, 0, _NO_USE):
                break
            await asyncio.sleep(_RESTART_S)
            self.start()
        raise AssertionError(f"not ready ({self._daemon.process.poll()}):\n{self._daemon.log()[-5000:]}")

    async def secret(self) -> str:
        done = await asyncio.to_thread(self._daemon.command, "keys", "webhook-secret", "anybody")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    # ---- processes -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, and do not wait."""
        self._daemon.notifications = []
        self._daemon.start()

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)
        self.start()

    async def kill_worker(self, chance: random.Random) -> None:
        if children := self._children():
            with contextlib.suppress(psutil.NoSuchProcess):
                chance.choice(children).kill()

    async def stop(self) -> None:
        await self._stop()
        self.start()

    async def _stop(self) -> None:
        if self._daemon.process.poll() is not None:
            return
        status = await self._end(signal.SIGTERM)
        # Until it takes signals itself there is nothing to leave undone; systemd takes both for a stop.
        starting = "READY=1" not in self._daemon.notifications
        if status and not (starting and status == -signal.SIGTERM):
            raise AssertionError(f"a stop ended with {status}; log:\n{self._daemon.log()[-5000:]}")

    async def _end(self, number: signal.Signals) -> int:
        """Send a signal, and wait until daemon and workers are gone; returns the exit status."""
        children = self._children()
        self._daemon.process.send_signal(number)
        status = await asyncio.to_thread(self._daemon.process.wait, _STOPPED_WITHIN_S)
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=_GONE_WITHIN_S)
        if alive:
            raise AssertionError(f"processes outlived the daemon: {alive}")
        return status

    def _children(self) -> list[psutil.Process]:
        try:
            return self._daemon.children()
        except psutil.NoSuchProcess:
            return []

    async def down(self) -> list[str]:
        await self._stop()
        return [f"{path.name} was left in the spool" for path in self._daemon.spooled()]

    # ---- disk ------------------------------------------------------------------------------------

    async def tear_log(self, chance: random.Random) -> str:
        await self._end(signal.SIGKILL)
        torn = await asyncio.to_thread(tear, self.jobs / "jobs.db-wal", chance)
        self.start()
        return torn

    async def lose_power(self) -> None:
        assert self._disk
        await self._end(signal.SIGKILL)
        await asyncio.to_thread(self._disk.lose_power)
        self.start()

    async def fill_disk(self) -> None:
        assert self._disk
        self._is_full = self._was_full = True
        await asyncio.to_thread(fill, self._disk.path)

    async def free_disk(self) -> None:
        assert self._disk
        empty(self._disk.path)
        self._is_full = False

    def destroy(self) -> None:
        """End what runs, whatever went wrong before."""
        children = self._children()
        self._daemon.kill()
        psutil.wait_procs(children, timeout=_GONE_WITHIN_S)


@contextlib.contextmanager
def local_victim(directory: Path) -> Iterator[LocalVictim]:
    """One that has been started, gone at the end."""
    with contextlib.ExitStack() as stack:
        disk = None if why_no_disk() else stack.enter_context(Disk(directory, _DISK_MIB))
        victim = LocalVictim(directory, disk)
        stack.callback(victim.destroy)
        victim.start()
        yield victim
