"""What the other systems' dialects answer is as the API's description says, and so are its examples."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import FormData
from conftest import changed
from described import check, described
from fake_nvidia import FakeNvml
from fake_service import MIXED, READY, RECORDING, SPOKEN, TRANSCRIPT, Web, form, serving
from msgspec.structs import replace
from openapi_schema_validator import OAS31Validator
from yarl import URL

from whisperd.config.live import Live
from whisperd.config.schema import DIALECTS
from whisperd.cuda import nvml
from whisperd.errors import FetchFailed, MediaError, QueueFull, UnknownModel
from whisperd.transcript.model import Notice, Transcript

WARNED = replace(TRANSCRIPT, warnings=[Notice("audio_truncated", "cut off")])
SILENCE = Transcript(duration=1.0)
ANSWERS = [TRANSCRIPT, SPOKEN, MIXED, WARNED, SILENCE]
THERE = "http://example.org/talk"


@pytest.fixture
async def server(live: Live, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    monkeypatch.setattr(nvml, "_library", FakeNvml)
    async with serving(live) as server:
        server.fetcher.files[THERE] = RECORDING
        yield server


def batch() -> FormData:
    data = FormData()
    data.add_field("files", RECORDING, filename="a.wav")
    data.add_field("files", b"", filename="b.txt")
    return data


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(
    ("path", "carrier"),
    [
        ("/transcribe", "audio"),
        ("/transcribe?language=en", "audio"),
        ("/transcribe?word_timestamps=0", "audio"),
        ("/diarize?merge_gaps=1", "audio"),
    ],
)
async def test_recordings_are_answered_as_described(
    server: Web, answer: Transcript, path: str, carrier: str
) -> None:
    server.service.answer = answer
    assert await check(server, await server.client.post(path, data=form(carrier))) == "200"


@pytest.mark.parametrize("answer", ANSWERS)
async def test_werifys_others_are_answered_as_described(server: Web, answer: Transcript) -> None:
    server.service.answer = answer
    response = await server.client.post("/transcribe/batch?speakers=1", data=batch())
    assert await check(server, response) == "200"
    response = await server.client.post("/transcribe/url", json={"url": THERE, "include_segments": True})
    assert await check(server, response) == "200"
    assert await check(server, await server.client.get("/queue/status")) == "200"


@pytest.mark.parametrize("ready", [True, False])
async def test_flasks_others_are_answered_as_described(server: Web, ready: bool) -> None:
    server.service.state = replace(READY, ready=ready, reason=None if ready else "loading")
    assert await check(server, await server.client.get("/healthz")) == ("200" if ready else "503")
    assert await check(server, await server.client.get("/gpu/status")) == "200"
    assert await check(server, await server.client.post("/whisper/unload")) == "200"
    assert await check(server, await server.client.post("/diarization/unload")) == "200"
    made = await (await server.client.post("/transcribe", data=form("audio"))).json()
    for link in made["downloads"].values():
        assert await check(server, await server.client.get(URL(link).path)) == "200"
    assert await check(server, await server.client.get("/download/nothing")) == "default"


@pytest.mark.parametrize(
    "error",
    [
        MediaError("no recording"),
        QueueFull("too many"),
        UnknownModel("none"),
        FetchFailed("gone"),
        ZeroDivisionError("a bug"),
    ],
)
@pytest.mark.parametrize(
    ("path", "carrier"),
    [
        ("/transcribe", "file"),
        ("/transcribe", "audio"),
        ("/transcribe?language=en", "audio"),
        ("/diarize", "audio"),
    ],
)
async def test_errors_are_as_described(server: Web, path: str, carrier: str, error: Exception) -> None:
    server.service.error = error
    assert await check(server, await server.client.post(path, data=form(carrier))) == "default"
    assert await check(server, await server.client.post(path, json={})) == "default"
    response = await server.client.post("/transcribe/url", json={"url": THERE})
    assert await check(server, response) == "default"


# ---- examples ------------------------------------------------------------------------------------


def examples(document: Any) -> Iterator[tuple[str, Any, Any]]:
    """Each example with its place and its schema."""
    for path, methods in document["paths"].items():
        for operation in methods.values():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for body in bodies:
                for content in body.get("content", {}).values():
                    if "example" in content:
                        yield path, content["schema"], content["example"]
                    for example in content.get("examples", {}).values():
                        yield path, content["schema"], example["value"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_examples_are_as_described(live: Live, dialect: str) -> None:
    """Of one dialect at a time, because where several meet an example may be any of theirs."""
    live.current = changed(live.current, "api", dialects=(dialect,))
    async with serving(live) as server:
        document = await described(server)
    found = list(examples(document))
    assert found
    for component in document["components"]["schemas"].values():
        if component["type"] == "object":
            component["additionalProperties"] = False
    for path, schema, example in found:
        errors = list(OAS31Validator({**schema, "components": document["components"]}).iter_errors(example))
        assert not errors, f"{path}: {errors}"
