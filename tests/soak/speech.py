"""Errands of those who want to know what was said, or by whom: every family of clients."""

import json
import random
import time
from typing import Any, Final, Literal

from soak.asking import Answer, Body, Wrong, as_json, form
from soak.material import Recording
from soak.world import World, subtitles

Answered = Literal["answered"]

_OPENAI: Final = "/v1/audio/transcriptions"
_FORMATS: Final = ("json", "text", "srt", "vtt", "verbose_json")


def _upload(recording: Recording, field: str = "file", **fields: str) -> Body:
    return form((field, recording), **fields)


def _spoken(recording: Recording, turns: list[Any]) -> None:
    """There is speech in every recording, so somebody must have spoken."""
    if not turns:
        raise Wrong(f"{recording.filename}: nobody speaks")


# ---- OpenAI's ------------------------------------------------------------------------------------


async def openai(world: World, chance: random.Random) -> Answered:
    clip, shape = world.material.clip(chance), chance.choice(_FORMATS)
    answer = await world.asker.ask("POST", _OPENAI, _upload(clip, response_format=shape, language="en"))
    world.expect(clip, _text(answer, shape))
    return "answered"


def _text(answer: Answer, shape: str) -> str:
    match shape:
        case "text":
            return answer.text
        case "srt" | "vtt":
            return subtitles(answer)
    return str(answer.json["text"])


async def diarized(world: World, chance: random.Random) -> Answered:
    clip = world.material.clip(chance)
    answer = await world.asker.ask("POST", _OPENAI, _upload(clip, response_format="diarized_json"))
    segments = answer.json["segments"]
    _spoken(clip, segments)
    world.expect(clip, " ".join(segment["text"] for segment in segments))
    return "answered"


async def openai_batch(world: World, chance: random.Random) -> Answered:
    clips = [world.material.clip(chance) for _ in range(3)]
    body = form(*(("files", clip) for clip in clips))
    answer = await world.asker.ask("POST", _OPENAI, body)
    for clip, result in zip(clips, answer.json["results"], strict=True):
        world.expect(clip, result["text"])
    return "answered"


async def stream(world: World, chance: random.Random) -> Answered:
    await _streamed(world, world.material.clip(chance))
    return "answered"


async def long_stream(world: World, _: random.Random) -> Answered:
    await _streamed(world, world.material.long)
    return "answered"


async def _streamed(world: World, recording: Recording) -> None:
    began, deltas, done = time.monotonic(), "", None
    async with world.asker.stream(_OPENAI, _upload(recording, stream="true", language="en")) as reply:
        async for line in reply.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name != "data" or not value.startswith("{"):
                continue
            event = json.loads(value)
            if "error" in event:
                world.asker.excuse_failure("a stream", str(event["error"]["message"]), began)
            if event["type"] == "transcript.text.delta":
                deltas += event["delta"]
            if event["type"] == "transcript.text.done":
                done = event["text"]
    if done is None:
        raise Wrong(f"a stream ended without its end, after {deltas[-100:]!r}")
    if deltas != done:
        raise Wrong(f"a stream told {deltas!r} and then {done!r}")
    world.expect(recording, done)


async def long(world: World, chance: random.Random) -> Answered:
    shape = chance.choice(("text", "diarized_json"))
    recording = world.material.long
    answer = await world.asker.ask("POST", _OPENAI, _upload(recording, response_format=shape))
    if shape == "text":
        world.expect(recording, answer.text)
    else:
        world.expect(recording, " ".join(segment["text"] for segment in answer.json["segments"]))
    return "answered"


async def diarization(world: World, chance: random.Random) -> Answered:
    clip, shape = world.material.clip(chance), chance.choice(("json", "rttm"))
    answer = await world.asker.ask("POST", "/v1/audio/diarization", _upload(clip, response_format=shape))
    _spoken(clip, answer.text.splitlines() if shape == "rttm" else answer.json["segments"])
    return "answered"


# ---- werify, the Flask transcriber, Lexia's server and gateway -----------------------------------


async def werify(world: World, chance: random.Random) -> Answered:
    clip = world.material.clip(chance)
    answer = await world.asker.ask("POST", "/transcribe?include_segments=true", _upload(clip))
    world.expect(clip, " ".join(segment["text"] for segment in answer.json["segments"]))
    return "answered"


async def werify_batch(world: World, chance: random.Random) -> Answered:
    clip, bad = world.material.clip(chance), world.material.bad(chance)
    body = form(("files", clip), ("files", bad))
    began = time.monotonic()
    answer = await world.asker.ask("POST", "/transcribe/batch", body)
    good, other = answer.json["results"]
    if good.get("error"):
        world.asker.excuse_failure("a clip of several", good["error"], began)
    world.expect(clip, good["text"])
    if not other.get("error"):
        raise Wrong(f"{bad.filename} was heard as {other}")
    return "answered"


async def flask(world: World, chance: random.Random) -> Answered:
    clip = world.material.clip(chance)
    upload = _upload(clip, "audio", language="en", temperature="0")
    answer = (await world.asker.ask("POST", "/transcribe", upload)).json
    world.expect(clip, answer["transcript"])
    for name, url in answer["downloads"].items():
        kept = await world.asker.ask("GET", url)
        world.expect(clip, subtitles(kept) if name == "srt" else kept.text.removeprefix("# Transcript"))
    return "answered"


async def lexia(world: World, chance: random.Random) -> Answered:
    clip = world.material.clip(chance)
    answer = await world.asker.ask("POST", "/transcribe?word_timestamps=true", _upload(clip, "audio"))
    world.expect(clip, "".join(word["text"] for word in answer.json["words"]))
    return "answered"


async def lexia_diarize(world: World, chance: random.Random) -> Answered:
    clip = world.material.clip(chance)
    answer = await world.asker.ask("POST", "/diarize", _upload(clip, "audio"))
    _spoken(clip, answer.json["segments"])
    return "answered"


async def gateway_sync(world: World, chance: random.Random) -> Answered:
    clip = world.material.clip(chance)
    upload = _upload(clip, "audio", language_code="en")
    world.expect(clip, (await world.asker.ask("POST", "/v1/transcriptions/sync", upload)).json["text"])
    return "answered"


# ---- by URL --------------------------------------------------------------------------------------


async def reflector_url(world: World, chance: random.Random) -> Answered:
    clip = world.material.clip(chance)
    body = as_json(audio_file_url=world.served(clip), language="en")
    answer = await world.asker.ask("POST", f"{_OPENAI}-from-url", body)
    world.expect(clip, "".join(word["word"] for word in answer.json["words"]))
    return "answered"


async def reflector_diarize(world: World, chance: random.Random) -> Answered:
    clip = world.material.clip(chance)
    answer = await world.asker.ask("POST", f"/diarize?audio_file_url={world.served(clip)}&timestamp=0")
    _spoken(clip, answer.json["diarization"])
    return "answered"


async def werify_url(world: World, chance: random.Random) -> Answered:
    clip = world.material.clip(chance)
    answer = await world.asker.ask("POST", "/transcribe/url", as_json(url=world.served(clip)))
    world.expect(clip, answer.json["text"])
    return "answered"
