"""What can happen to a daemon, and when."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from typing import Final

from torture.moments import MOMENTS, Moments
from torture.receiver import Receiver
from torture.victim import Victim

DECK: Final = (
    "kill", "kill", "kill", "kill worker", "kill worker", "stop", "tear log", "lose power", "fill disk",
    "receiver down",
)  # fmt: skip
"""The faults, as often as they come among ten. Each is dealt before any comes again."""
KILLS: Final = frozenset({"kill", "kill worker", "tear log", "lose power"})
_LULL_S: Final = (0.2, 5.0)
"""Between a start, or another fault, and the next."""
_AIM_S: Final = 0.05
"""How long after its moment an aimed fault strikes, at the latest."""
_MOMENT_WITHIN_S: Final = 5.0
_DISK_FULL_S: Final = (0.5, 4.0)
_RECEIVER_DOWN_S: Final = (1.0, 6.0)
_WHILE_STARTING: Final = 0.2
"""The share of faults that do not wait until the daemon serves again."""


class Faults:
    """Strikes a victim, one fault after the other. `log` tells what happened, a line each."""

    def __init__(self, victim: Victim, receiver: Receiver, moments: Moments, seed: int) -> None:
        self.struck: Counter[str] = Counter()
        self.log: list[str] = []
        self._victim = victim
        self._receiver = receiver
        self._moments = moments
        self._chance = random.Random(seed)
        self._dealt = self._deal()

    @property
    def kills(self) -> int:
        """How many processes or machines were killed."""
        return sum(count for name, count in self.struck.items() if name in KILLS)

    def _deal(self) -> Iterator[str]:
        while True:
            yield from self._chance.sample(DECK, len(DECK))

    async def strike(self) -> None:
        """Wait for the next fault's moment, and let it happen."""
        name = next(self._dealt)
        if name in self._victim.without:
            return
        starting = self._chance.random() < _WHILE_STARTING
        if not starting:
            await self._victim.ready()
        await asyncio.sleep(self._chance.uniform(*_LULL_S) * (0.3 if starting else 1))
        moment = "any time"
        if self._chance.random() < 0.6:
            aimed = self._chance.choice(MOMENTS)
            if await self._moments.next(aimed, _MOMENT_WITHIN_S):
                moment = aimed
            await asyncio.sleep(self._chance.uniform(0, _AIM_S))
        self.log.append(f"{name} ({moment}{', while starting' if starting else ''})")
        await self._happen(name)
        self.struck[name] += 1

    async def _happen(self, name: str) -> None:
        victim, chance = self._victim, self._chance
        match name:
            case "kill":
                await victim.kill()
            case "kill worker":
                await victim.kill_worker(chance)
            case "stop":
                await victim.stop()
            case "tear log":
                # The network of a machine goes with it.
                await self._receiver.down()
                self.log[-1] += f": {await victim.tear_log(chance)}"
                await self._receiver.up(victim.listen())
            case "lose power":
                await self._receiver.down()
                await victim.lose_power()
                await self._receiver.up(victim.listen())
            case "fill disk":
                await victim.fill_disk()
                await asyncio.sleep(chance.uniform(*_DISK_FULL_S))
                if chance.random() < 0.5:
                    self.log[-1] += ", and killed meanwhile"
                    await victim.kill()
                    await asyncio.sleep(chance.uniform(*_DISK_FULL_S))
                await victim.free_disk()
            case "receiver down":
                await self._receiver.down()
                await asyncio.sleep(chance.uniform(*_RECEIVER_DOWN_S))
                await self._receiver.up(victim.listen())
