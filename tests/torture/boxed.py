"""The victim in a box: the installed service, which systemd starts again."""

import asyncio
import concurrent.futures
import random
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from boxes import network
from boxes.box import PORT, Box, until

from torture.disk import empty, fill
from torture.wal import tear

_RECEIVER: Final = ("127.0.0.1", 18_400)


class BoxedVictim:
    """See `torture.victim.Victim`."""

    def __init__(self, box: Box) -> None:
        self.url = f"http://127.0.0.1:{PORT}"
        self.without: Mapping[str, str] = {}
        self._box = box
        self._pid = box.pid

    # ---- network ---------------------------------------------------------------------------------

    def connect(self, address: Any) -> socket.socket:
        return self._socket(address[0], address[1], address[2])

    def listen(self) -> socket.socket:
        listening = self._socket(socket.AF_INET, socket.SOCK_STREAM, 0)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(_RECEIVER)
        return listening

    def _socket(self, family: int, kind: int, protocol: int) -> socket.socket:
        """One of the box's network: made by a thread that goes there for good. Raises OSError."""
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            thread.submit(network.enter, self._pid).result()
            return thread.submit(socket.socket, family, kind, protocol).result()

    # ---- the service -----------------------------------------------------------------------------

    async def ready(self) -> None:
        await asyncio.to_thread(until, self._serves, "readiness", timeout_s=120)

    def _serves(self) -> bool:
        return self._box.get("/health/ready").status == 200

    async def secret(self) -> str:
        return await asyncio.to_thread(self._box.output, "whisperd", "keys", "webhook-secret", "anybody")

    async def kill(self) -> None:
        def kill() -> None:
            if main := self._box.main_pid():
                self._box.kill("KILL", main)

        await asyncio.to_thread(kill)

    async def kill_worker(self, chance: random.Random) -> None:
        def kill() -> None:
            if workers := self._box.processes().keys() - {self._box.main_pid()}:
                self._box.run("sh", "-c", f"kill -KILL {chance.choice(sorted(workers))}", check=False)

        await asyncio.to_thread(kill)

    async def stop(self) -> None:
        await asyncio.to_thread(self._box.systemctl, "restart", "--no-block", "whisperd.service")

    async def down(self) -> list[str]:
        await asyncio.to_thread(self._box.systemctl, "stop", "whisperd.service")
        found = [f"process {command} was left" for command in self._box.processes().values()]
        spool = self._box.layer / "var/cache/whisperd/spool"
        return found + [f"{path.name} was left in the spool" for path in spool.iterdir()]

    # ---- the machine -----------------------------------------------------------------------------

    async def lose_power(self) -> None:
        """All processes at once. The disk is memory of the host, so that nothing unsynced is lost."""
        await asyncio.to_thread(self._box.unplug)
        await asyncio.to_thread(self._boot)

    async def tear_log(self, chance: random.Random) -> str:
        await asyncio.to_thread(self._box.unplug)
        torn = await asyncio.to_thread(tear, self.jobs / "jobs.db-wal", chance)
        await asyncio.to_thread(self._boot)
        return torn

    def _boot(self) -> None:
        self._box.start()
        self._pid = self._box.pid

    async def fill_disk(self) -> None:
        await asyncio.to_thread(fill, self._disk)

    async def free_disk(self) -> None:
        empty(self._disk)

    @property
    def _disk(self) -> Path:
        return self._box.layer.parent

    @property
    def jobs(self) -> Path:
        return self._box.layer / "var/lib/whisperd/jobs"
