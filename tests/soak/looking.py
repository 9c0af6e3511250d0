"""Errands of those who only look."""

import random
from typing import Final, Literal

from soak.world import World

_PAGES: Final = (
    "/health",
    "/health/live",
    "/metrics",
    "/v1/models",
    "/v1/jobs?limit=20",
    "/queue/status",
    "/openapi.json",
    "/docs",
)


async def looks(world: World, chance: random.Random) -> Literal["answered"]:
    """At one page; some of them are refused while a worker is on its way."""
    await world.asker.ask("GET", chance.choice(_PAGES))
    return "answered"
