"""Errands of those who hand a recording in and come back for its text, or are told of it."""

import asyncio
import json
import random
import time
from typing import Final, Literal

from torture.load import ENDED

from soak.asking import Wrong, form
from soak.material import Recording
from soak.world import World

_JOBS: Final = "/v1/jobs"
_PLACE: Final = "/v1/transcriptions"
_DONE_WITHIN_S: Final = 900
_TOLD_WITHIN_S: Final = 300
_LOOK_S: Final = 0.5
_LONGEST_CHANGE_OF_MIND_S: Final = 6.0


async def hooked(world: World, chance: random.Random) -> Literal["answered"]:
    """Told of the end by a webhook, of which a part is answered badly."""
    clip, number = world.material.clip(chance), next(world.numbers)
    upload = form(
        ("audio", clip),
        language_code="en",
        priority=chance.choice(("low", "normal", "high")),
        metadata=json.dumps({"number": number}),
        webhook_url=f"{world.receiver_url}/hooks/{number}",
    )
    job = (await world.asker.ask("POST", _PLACE, upload, status=202)).json["id"]
    await _ended(world, job, "completed")
    await _told(world, job, number)
    await _collected(world, job, clip)
    return "answered"


async def by_url(world: World, chance: random.Random) -> Literal["answered"]:
    """Fetched by the server; its events are read to the end."""
    clip = world.material.clip(chance)
    upload = form(language_code="en", audio_url=world.served(clip))
    job = (await world.asker.ask("POST", _PLACE, upload, status=202)).json["id"]
    events = (await world.asker.ask("GET", f"{_JOBS}/{job}/events")).text
    if "event: end" not in events:
        raise Wrong(f"the events of job {job} end without an end: {events[-300:]!r}")
    await _ended(world, job, "completed")
    await _collected(world, job, clip)
    return "answered"


async def cancelled(world: World, chance: random.Random) -> Literal["answered", "abandoned"]:
    """Called off at some moment, if it has not ended before."""
    long = world.material.long
    recording = long if chance.random() < 0.7 else world.material.clip(chance)
    upload = form(("audio", recording), language_code="en")
    job = (await world.asker.ask("POST", _PLACE, upload, status=202)).json["id"]
    await asyncio.sleep(chance.uniform(0, _LONGEST_CHANGE_OF_MIND_S))
    state = (await world.asker.ask("GET", f"{_JOBS}/{job}")).json["status"]
    if state == "completed":
        await _collected(world, job, recording)
        return "answered"
    try:
        await world.asker.ask("DELETE", f"{_JOBS}/{job}", status=204)
    except Wrong:
        # It may have ended between the two.
        await _ended(world, job, "completed")
    else:
        await _ended(world, job, "cancelled")
    await world.asker.ask("DELETE", f"{_PLACE}/{job}", status=204)
    return "abandoned"


async def _ended(world: World, job: str, wanted: str) -> None:
    deadline = time.monotonic() + _DONE_WITHIN_S
    while time.monotonic() < deadline:
        found = (await world.asker.ask("GET", f"{_JOBS}/{job}?wait=20")).json
        if found["status"] in ENDED:
            if found["status"] != wanted:
                raise Wrong(f"job {job} is {found['status']}: {found['error']}")
            return
    raise Wrong(f"job {job} is {found['status']} after {_DONE_WITHIN_S} s")


async def _told(world: World, job: str, number: int) -> None:
    deadline = time.monotonic() + _TOLD_WITHIN_S
    while not world.receiver.taken(number):
        if time.monotonic() > deadline:
            raise Wrong(f"the webhook of job {job} did not come within {_TOLD_WITHIN_S} s")
        await asyncio.sleep(_LOOK_S)
    for hook in world.receiver.hooks[number]:
        if not hook.genuine or (hook.said["job_id"], hook.said["event"]) != (job, "job.completed"):
            raise Wrong(f"the webhook of job {job} says {hook.said}, genuine: {hook.genuine}")


async def _collected(world: World, job: str, recording: Recording) -> None:
    """Its text, after which nothing of it stays."""
    place = f"{_PLACE}/{job}"
    world.expect(recording, (await world.asker.ask("GET", place)).json["text"])
    await world.asker.ask("DELETE", place, status=204)
    await world.asker.ask("GET", place, status=404)
