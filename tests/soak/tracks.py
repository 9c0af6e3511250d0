"""Errands of those who have recordings padded and mixed: fetched from a URL, and sent to another."""

import random
from typing import Literal

from soak.asking import Wrong, as_json
from soak.world import World

Answered = Literal["answered"]


async def pad(world: World, chance: random.Random) -> Answered:
    result = f"/files/result-{next(world.numbers)}.webm"
    body = as_json(
        track_url=world.served(world.material.clip(chance)),
        output_url=f"{world.receiver_url}{result}",
        start_time_seconds=1.5,
        track_index=0,
    )
    answer = await world.asker.ask("POST", "/pad", body)
    _arrived(world, result, answer.json["size"])
    return "answered"


async def mixdown(world: World, chance: random.Random) -> Answered:
    result = f"/files/result-{next(world.numbers)}.mp3"
    body = as_json(
        track_urls=[world.served(world.material.clip(chance)) for _ in range(2)],
        output_url=f"{world.receiver_url}{result}",
        offsets_seconds=[0, 1.5],
    )
    answer = await world.asker.ask("POST", "/mixdown", body)
    _arrived(world, result, answer.json["size"])
    return "answered"


def _arrived(world: World, result: str, size: int) -> None:
    """The result is there, as large as was said; it is not kept."""
    came = world.receiver.files.received.pop(result, b"")
    if len(came) != size or not size:
        raise Wrong(f"{result} has {len(came)} bytes, and {size} were told of")
