"""Errands of those who send what is wrong, who are slow, and who leave."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable
from typing import Final, Literal

from file_server import Answer as Served

from soak.asking import Body, Wrong, as_json, form
from soak.world import World

_OPENAI: Final = "/v1/audio/transcriptions"
UPLOAD_IDLE_S: Final = 5
"""The daemon is configured to give up an upload that sends nothing for so long."""
_PIECES: Final = 10
_LONGEST_PAUSE_S: Final = 0.8
_LONGEST_PATIENCE_S: Final = 5.0

_BAD_FORMS: Final = (
    {"response_format": "nonsense"},
    {"temperature": "warm"},
    {"language": "klingon"},
    {"num_speakers": "-1", "diarize": "true"},
)


# ---- wrong ---------------------------------------------------------------------------------------


async def bad_file(world: World, chance: random.Random) -> Literal["declined"]:
    bad = world.material.bad(chance)
    path, field = chance.choice(((_OPENAI, "file"), ("/transcribe", "file"), ("/transcribe", "audio")))
    await world.asker.ask("POST", path, form((field, bad)), status=400)
    return "declined"


async def bad_request(world: World, chance: random.Random) -> Literal["declined"]:
    clip, which = world.material.clip(chance), chance.randrange(4)
    if which == 0:
        upload = form(("file", clip), **chance.choice(_BAD_FORMS))
        await world.asker.ask("POST", _OPENAI, upload, status=400)
    elif which == 1:
        whole = form(("file", clip))
        cut = Body(whole.data[: chance.randrange(len(whole.data) // 2)], whole.content_type)
        await world.asker.ask("POST", _OPENAI, cut, status=400)
    elif which == 2:
        await world.asker.ask("POST", _OPENAI, form(model="whisper-1"), status=400)
    else:
        await world.asker.ask("GET", f"/nothing/{chance.random()}", status=404)
    return "declined"


async def bad_url(world: World, chance: random.Random) -> Literal["declined"]:
    """Refused, not there, or broken off: to werify's clients all of it is their own mistake."""
    broken = f"files/broken-{chance.randrange(10)}.wav"
    served = Served(body=world.material.long.data, breaks_after=10_000)
    world.receiver.files.add(broken, served)
    url = chance.choice(
        (
            "http://10.0.0.1/talk.wav",
            "file:///etc/passwd",
            "http://[::1]:1/talk.wav",
            f"{world.receiver_url}/files/none.wav",
            f"{world.receiver_url}/{broken}",
        )
    )
    await world.asker.ask("POST", "/transcribe/url", as_json(url=url), status=400)
    return "declined"


# ---- slow ----------------------------------------------------------------------------------------


async def slow(world: World, chance: random.Random) -> Literal["answered"]:
    """Sends in pieces, with pauses."""
    clip = world.material.clip(chance)
    body = form(("file", clip), language="en")
    pauses = [chance.uniform(0, _LONGEST_PAUSE_S) for _ in range(_PIECES)]
    answer = await world.asker.ask("POST", _OPENAI, body, sent=_in_pieces(body.data, pauses))
    world.expect(clip, answer.json["text"])
    return "answered"


async def stalled(world: World, chance: random.Random) -> Literal["declined"]:
    """Stops sending, and waits for what the server says to that."""
    body = form(("file", world.material.clip(chance)))
    part = chance.randrange(1, len(body.data))
    await world.asker.ask("POST", _OPENAI, body, sent=_stopping(body.data[:part]), status=408)
    return "declined"


async def _in_pieces(data: bytes, pauses_s: list[float]) -> AsyncIterator[bytes]:
    count = len(pauses_s)
    for n, pause_s in enumerate(pauses_s):
        yield data[len(data) * n // count : len(data) * (n + 1) // count]
        await asyncio.sleep(pause_s)


async def _stopping(data: bytes) -> AsyncIterator[bytes]:
    yield data
    await asyncio.Event().wait()


# ---- gone ----------------------------------------------------------------------------------------


async def hangs_up_sending(world: World, chance: random.Random) -> Literal["abandoned"]:
    body = form(("file", world.material.long))
    part = chance.randrange(1, len(body.data))
    asking = world.asker.ask("POST", _OPENAI, body, sent=_stopping(body.data[:part]))
    return await _leaving(asking, chance.uniform(0, UPLOAD_IDLE_S / 2))


async def hangs_up_waiting(world: World, chance: random.Random) -> Literal["abandoned"]:
    """While it is decoded, waits for its turn, or is worked on; with speakers or without."""
    long = world.material.long
    body = form(("file", long), diarize=chance.choice(("true", "false")))
    return await _leaving(world.asker.ask("POST", _OPENAI, body), chance.uniform(0, _LONGEST_PATIENCE_S))


async def hangs_up_reading(world: World, chance: random.Random) -> Literal["abandoned"]:
    """Leaves a stream after its first events, if these come soon."""
    long = world.material.long
    body = form(("file", long), stream="true")

    async def read_some() -> None:
        async with world.asker.stream(_OPENAI, body) as reply:
            for _ in range(chance.randrange(1, 6)):
                if not await reply.content.readline():
                    raise Wrong("a stream ended at its beginning")

    return await _leaving(read_some(), 2 * _LONGEST_PATIENCE_S)


async def _leaving(asking: Awaitable[object], patience_s: float) -> Literal["abandoned"]:
    """Ask, and leave after so long whether there was an answer or not."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            await asking
    return "abandoned"
