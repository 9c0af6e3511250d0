"""What is struck: a daemon, and the machine that it runs on."""

import random
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from torture.client import Connect


class Victim(Protocol):
    """All that is done to it leaves the daemon started, though not ready, but for `down`."""

    url: str
    without: Mapping[str, str]
    """Faults that can't be had here, and why."""

    @property
    def connect(self) -> Connect | None:
        """Makes sockets from which the daemon can be reached; None where any socket does."""

    def listen(self) -> socket.socket:
        """A socket that the daemon can reach, at the same address each time."""

    async def ready(self) -> None:
        """Wait until it serves."""

    async def secret(self) -> str:
        """What the webhooks of those without a key are signed with."""

    async def kill(self) -> None:
        """SIGKILL for the daemon."""

    async def kill_worker(self, chance: random.Random) -> None:
        """SIGKILL for one of its workers."""

    async def stop(self) -> None:
        """SIGTERM, as for a restart."""

    async def tear_log(self, chance: random.Random) -> str:
        """SIGKILL, and a torn write at the end of the database's log; returns what was torn."""

    async def lose_power(self) -> None:
        """Everything ends at once, and what was not synced is lost."""

    async def fill_disk(self) -> None:
        """No room is left where jobs are kept."""

    async def free_disk(self) -> None:
        """There is room again."""

    async def down(self) -> list[str]:
        """Stop it for good; returns what it should not have left behind."""

    @property
    def jobs(self) -> Path:
        """Where the database and the recordings are."""
