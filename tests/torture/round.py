"""One round: a load, faults until it is done, and the verdict."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp

from torture import verdict
from torture.client import Client
from torture.clips import Clip, clips, words
from torture.faults import Faults
from torture.load import Load, orders
from torture.moments import Moments
from torture.receiver import Receiver
from torture.victim import Victim

JOBS: Final = 200


@dataclass(frozen=True)
class Report:
    """How a round went."""

    wrong: Sequence[str]
    """What should not have happened, a sentence each."""
    kills: int
    faults: Sequence[str]
    """What was done, in order."""
    figures: str

    def __str__(self) -> str:
        return "\n".join([self.figures, *self.faults, *(f"WRONG: {sentence}" for sentence in self.wrong)])


async def torture(victim: Victim, *, seed: int, jobs: int = JOBS, strike_s: float = math.inf) -> Report:
    """Strike a victim that was started until its jobs are done, or for so long, and then stop it."""
    began = time.monotonic()
    moments = Moments()
    listening = victim.listen()
    host, port = listening.getsockname()
    await victim.ready()
    async with (
        Receiver(moments, seed, await victim.secret()) as receiver,
        Client(victim.url, victim.connect) as client,
    ):
        await receiver.up(listening)
        material = clips()
        references = {clip.name: await _reference(client, clip) for clip in material}
        wanted = orders(material, jobs, seed)
        for order in wanted:
            receiver.files.add(f"files/{order.number}.wav", order.wav)
        load = Load(client, f"http://{host}:{port}", moments)
        faults = Faults(victim, receiver, moments, seed)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(load.run(wanted))
            end = time.monotonic() + strike_s
            while not running.done():
                if time.monotonic() < end:
                    await faults.strike()
                else:
                    await victim.ready()
                    await asyncio.sleep(1)
        await victim.ready()
        listed = await verdict.settled(client, load, receiver)
        wrong = await verdict.wrong(listed, client, load, receiver, references)
        wrong += await victim.down()
        wrong += verdict.left(victim, load, listed, was_full=faults.struck["fill disk"] > 0)
    return Report(wrong, faults.kills, faults.log, _figures(load, faults, receiver, len(listed), began))


async def _reference(client: Client, clip: Clip) -> str:
    """What the clip says while nothing happens."""
    form = aiohttp.FormData({"model": "whisper-1", "language": "en"})
    form.add_field("file", clip.wav, filename="clip.wav")
    status, answer = await client.post("/v1/audio/transcriptions", form)
    assert status == 200, answer
    assert words(answer["text"]), clip.name
    return str(answer["text"])


def _figures(load: Load, faults: Faults, receiver: Receiver, jobs: int, began: float) -> str:
    doubtful = sum(told.job_id is None for told in load.told.values())
    hooks = Counter(len(hooks) for hooks in receiver.hooks.values() if hooks)
    struck = ", ".join(f"{count} x {name}" for name, count in sorted(faults.struck.items()))
    return (
        f"{jobs} jobs of {len(load.told)} sent, {doubtful} of them without an answer, in "
        f"{time.monotonic() - began:.0f} s; {load.repeats} sent again with their key; webhooks by attempts "
        f"that arrived: {dict(sorted(hooks.items()))}; {struck}"
    )
