"""What Lexia's gateway answers is as the API's description says, and what that describes is understood."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from described import check, described
from fake_service import MIXED, RECORDING, SPOKEN, TRANSCRIPT, Web, form, serving
from gateway import DIARIZATION, JOBS, NOBODYS, THERE, TRANSCRIPTIONS, ended, fileless, named, running, submit
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.errors import EngineError, MediaError
from whisperd.transcript.model import Notice, Transcript
from whisperd.web.fields import plain_name

WARNED = replace(SPOKEN, warnings=[Notice("audio_truncated", "cut off")])
ANSWERS = [TRANSCRIPT, MIXED, WARNED, Transcript(duration=1.0)]
SAMPLES = {
    "audio_url": THERE,
    "webhook_url": "http://example.org/hook",
    "deadline": "60",
    "metadata": "{}",
    "languages[]": "en",
}


@pytest.fixture
async def server(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as server:
        server.fetcher.files[THERE] = RECORDING
        yield server


async def form_of(server: Web, path: str, kind: str) -> Any:
    body = (await described(server))["paths"][path]["post"]["requestBody"]
    return body["content"][kind]["schema"]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("path", [TRANSCRIPTIONS, DIARIZATION])
async def test_results_are_as_described(server: Web, answer: Transcript, path: str) -> None:
    server.service.answer = answer
    fields = {"webhook_url": "http://example.org/hook", "metadata": '{"a": [1]}', "colour": "red"}
    if path == TRANSCRIPTIONS:
        fields |= {"speaker_labels": "true"}
    response = await server.client.post(path, data=form("audio", **fields))
    assert await check(server, response) == "202"
    job_id = (await response.json())["id"]
    await ended(server, job_id)
    suffixes = (
        ("", ".json", ".rttm") if path == DIARIZATION else ("", ".json", ".txt", ".srt", ".vtt", ".rttm")
    )
    for suffix in suffixes:
        assert await check(server, await server.client.get(f"{path}/{job_id}{suffix}")) == "200"
    for place in (f"{JOBS}/{job_id}", JOBS):
        assert await check(server, await server.client.get(place)) == "200"
    assert await check(server, await server.client.post(f"{path}/sync", data=form("audio"))) == "200"


async def test_a_running_job_is_as_described(server: Web) -> None:
    server.service.may_answer.clear()
    job_id = (await submit(server))["id"]
    await running(server, job_id)
    for place in (f"{JOBS}/{job_id}", JOBS, f"{TRANSCRIPTIONS}/{job_id}?partial=1"):
        assert await check(server, await server.client.get(place)) == "200"


@pytest.mark.parametrize(
    "error", [MediaError("no recording"), EngineError("broke"), ZeroDivisionError("a bug")]
)
@pytest.mark.parametrize("path", [TRANSCRIPTIONS, DIARIZATION])
async def test_errors_are_as_described(server: Web, path: str, error: Exception) -> None:
    server.service.error = error
    job_id = (await submit(server, path))["id"]
    if isinstance(error, MediaError):
        await ended(server, job_id)
    for place in (f"{JOBS}/{job_id}", JOBS, f"{path}/{job_id}"):
        assert await check(server, await server.client.get(place)) == "200"
    assert await check(server, await server.client.get(f"{path}/{job_id}.rttm")) == "default"
    assert await check(server, await server.client.post(f"{path}/sync", data=form("audio"))) == "default"
    assert await check(server, await server.client.post(path, data=named("notes.txt"))) == "default"
    assert await check(server, await server.client.post(path, data=fileless(colour="red"))) == "default"
    for job_id in ("x", NOBODYS):
        assert await check(server, await server.client.get(f"{path}/{job_id}")) == "default"
        assert await check(server, await server.client.get(f"{JOBS}/{job_id}")) == "default"


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, DIARIZATION])
async def test_either_the_recording_or_its_url_must_be_there(server: Web, path: str) -> None:
    whole = await form_of(server, path, "multipart/form-data")
    assert whole["anyOf"] == [{"required": ["audio"]}, {"required": ["audio_url"]}]
    assert whole["properties"]["audio"]["format"] == "binary"
    plain = await form_of(server, path, "application/x-www-form-urlencoded")
    assert plain["required"] == ["audio_url"]
    assert plain["properties"] == {
        name: field for name, field in whole["properties"].items() if name != "audio"
    }
    assert (await form_of(server, f"{path}/sync", "multipart/form-data"))["required"] == ["audio"]


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, DIARIZATION])
async def test_every_field_that_is_described_is_known(server: Web, path: str) -> None:
    """Sends each with its least or first value: none may be wrong, and none unknown."""
    fields = (await form_of(server, path, "application/x-www-form-urlencoded"))["properties"]
    others = {"speaker_labels": "true"} if path == TRANSCRIPTIONS else {}
    for name, field in fields.items():
        sample = SAMPLES.get(name) or str(field.get("enum", [field.get("minimum", "true")])[0])
        sample = {"language": "en", "language_code": "en", "model": "base"}.get(name, sample)
        sent = {"audio_url": THERE} | others | {name: sample}
        response = await server.client.post(path, data=sent)
        assert response.status == 202, (name, await response.text())
        assert "X-Whisperd-Warnings" not in response.headers, name


async def test_json_takes_what_the_forms_take(server: Web) -> None:
    for path in (TRANSCRIPTIONS, DIARIZATION):
        document = await described(server)
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        component = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
        plain = await form_of(server, path, "application/x-www-form-urlencoded")
        earlier = {"language", "speaker_diarization", "num_speakers", "min_speakers", "max_speakers"}
        assert set(component["properties"]) == {plain_name(name) for name in plain["properties"]} - earlier
        assert component["required"] == ["audio_url"]
