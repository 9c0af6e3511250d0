"""Lexia's gateway, errors: each row of its table, in the envelopes that its clients read."""

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse
from conftest import changed
from fake_service import RECORDING, Web, form, serving
from gateway import (
    DIARIZATION,
    JOBS,
    NOBODYS,
    THERE,
    TRANSCRIPTIONS,
    body_of,
    ended,
    fileless,
    look,
    named,
    submit,
)
from keychain import make_key

from whisperd.config.live import Live
from whisperd.config.units import Size
from whisperd.errors import DeadlineExceeded, EngineError, MediaError, NotReady, OutOfMemory, WorkerDied

BOTH = [TRANSCRIPTIONS, DIARIZATION]
SYNC = [f"{path}/sync" for path in BOTH]


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


async def refused(
    response: ClientResponse, status: int, kind: str, code: str | None, *, wrapped: bool = False
) -> Any:
    """The error, held to its status, type, code and envelopes."""
    body = await body_of(response, status)
    error = body["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert (error["type"], error["code"]) == (kind, code)
    assert body == ({"error": error, "detail": {"error": error}} if wrapped else {"error": error})
    return error


# ---- who asks ------------------------------------------------------------------------------------


async def test_without_a_key_where_one_is_needed(web: Web) -> None:
    make_key(web.live.current)
    for path in BOTH:
        response = await web.client.post(path, data=form("audio"))
        await refused(response, 401, "invalid_api_key", "authentication_error")
    response = await web.client.get(JOBS)
    await refused(response, 401, "invalid_api_key", "authentication_error")


@pytest.mark.parametrize("key", ["lx_" + "x" * 43, "sk-none", "lx_"])
async def test_with_a_key_that_is_none(web: Web, key: str) -> None:
    make_key(web.live.current)
    response = await web.client.get(JOBS, headers={"Authorization": f"Bearer {key}"})
    error = await refused(response, 401, "invalid_api_key", "invalid_api_key")
    assert error["message"] == "Invalid or expired API key"
    assert error["param"] is None


async def test_with_too_many_requests(web: Web) -> None:
    live = web.live
    live.current = changed(live.current, "access", burst=1)
    _, key = make_key(live.current, rate_limit=1)
    headers = {"Authorization": key}
    for _ in range(2):
        last = await web.client.post(f"{TRANSCRIPTIONS}/sync", data=form("audio"), headers=headers)
        assert last.headers["X-RateLimit-Limit"] == "1"
    response = await web.client.post(TRANSCRIPTIONS, data=form("audio"), headers=headers)
    await refused(response, 429, "rate_limit_exceeded", "rate_limit_exceeded")
    assert int(response.headers["Retry-After"]) >= 1


# ---- what is asked -------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [None, {"language_code": "fr"}, "form"])
async def test_a_transcription_without_audio(web: Web, data: Any) -> None:
    data = fileless(language_code="fr") if data == "form" else data
    response = await web.client.post(TRANSCRIPTIONS, data=data)
    error = await refused(response, 422, "invalid_request_error", "validation_error")
    assert error["param"] == "audio"


async def test_a_diarization_without_audio(web: Web) -> None:
    for sent in ({"data": fileless(speakers_expected="2")}, {"json": {"speakers_expected": 2}}):
        response = await web.client.post(DIARIZATION, **sent)
        await refused(response, 400, "invalid_request_error", "missing_audio_source", wrapped=True)


@pytest.mark.parametrize("path", SYNC)
async def test_nothing_is_answered_at_once_without_audio(web: Web, path: str) -> None:
    response = await web.client.post(path, data=fileless(language_code="fr"))
    error = await refused(response, 422, "invalid_request_error", None)
    assert error["param"] == "audio"


@pytest.mark.parametrize("url", ["ftp://example.org/talk.mp3", "file:///etc/passwd", "talk.mp3", "http://"])
async def test_a_url_that_is_none_of_the_web(web: Web, url: str) -> None:
    response = await web.client.post(TRANSCRIPTIONS, data=fileless(audio_url=url))
    error = await refused(response, 422, "invalid_request_error", "validation_error")
    assert error["param"] == "audio_url"
    response = await web.client.post(DIARIZATION, data=fileless(audio_url=url))
    error = await refused(response, 400, "invalid_request_error", "invalid_url_format", wrapped=True)
    assert error["param"] == "audio_url"
    assert await look(web, JOBS) == []


@pytest.mark.parametrize("url", ["ftp://example.org/hook", "hook", "http://user:secret@example.org/"])
async def test_a_webhook_that_nothing_can_be_sent_to(web: Web, url: str) -> None:
    response = await web.client.post(TRANSCRIPTIONS, data=form("audio", webhook_url=url))
    error = await refused(response, 422, "invalid_request_error", None)
    assert error["param"] == "webhook_url"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("language_code", "klingon"),
        ("speaker_labels", "perhaps"),
        ("speakers_expected", "0"),
        ("speakers_expected", "21"),
        ("num_speakers", "two"),
        ("priority", "urgent"),
        ("deadline", "tomorrow"),
        ("deadline", "0"),
        ("deadline", "-5"),
        ("deadline", "nan"),
        ("deadline", "1e300"),
        ("deadline", "2001-01-01T00:00:00Z"),
        ("deadline", "9999-12-31T23:59:59-23:59"),
        ("metadata", "[1, 2]"),
        ("metadata", "{"),
        ("metadata", '{"a":' + "[" * 5000 + "]" * 5000 + "}"),
    ],
)
async def test_a_field_that_is_wrong_is_named(web: Web, name: str, value: str) -> None:
    response = await web.client.post(TRANSCRIPTIONS, data=form("audio", **{name: value}))
    error = await refused(response, 422, "invalid_request_error", None)
    assert error["param"] == name
    assert await look(web, JOBS) == []


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "101"}, {"offset": "-1"}, {"status": "x"}, {"job_type": "x"}]
)
async def test_a_parameter_that_is_wrong_is_named_with_its_place(web: Web, query: dict[str, str]) -> None:
    response = await web.client.get(JOBS, params=query)
    error = await refused(response, 422, "invalid_request_error", None)
    assert error["param"] == f"query.{next(iter(query))}"


@pytest.mark.parametrize("body", ['{"audio_url": ', "[]", '{"audio_url": 7}', "{}", '{"audio_url": null}'])
async def test_json_that_is_wrong(web: Web, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    response = await web.client.post(TRANSCRIPTIONS, data=body, headers=headers)
    error = (await body_of(response, 422))["error"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "urlencoded"])
async def test_no_body_has_room_for_more_than_a_form_has(web: Web, as_json: bool) -> None:
    metadata = {"note": "x" * 16 * 1024}
    if as_json:
        request = web.client.post(TRANSCRIPTIONS, json={"audio_url": THERE, "metadata": metadata})
    else:
        fields = {"audio_url": THERE, "metadata": json.dumps(metadata)}
        request = web.client.post(TRANSCRIPTIONS, data=fields)
    error = await refused(await request, 422, "api_error", "file_too_large")
    assert error["param"] == "metadata"
    assert await look(web, JOBS) == []


async def test_a_form_that_is_broken_off(web: Web) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = await web.client.post(TRANSCRIPTIONS, data=b"--x\r\nnothing", headers=headers)
    await refused(response, 422, "invalid_request_error", None)


@pytest.mark.parametrize("path", [*BOTH, *SYNC])
@pytest.mark.parametrize("name", ["notes.txt", "talk", "program.exe", ".wav", "talk.wav.zip"])
async def test_a_file_whose_name_is_no_recordings(web: Web, path: str, name: str) -> None:
    response = await web.client.post(path, data=named(name))
    await refused(response, 422, "api_error", "invalid_audio_format")


@pytest.mark.parametrize("ending", ["wav", "mp3", "m4a", "flac", "ogg", "webm", "MP3", "opus", "mp4"])
async def test_a_file_whose_name_is_a_recordings(web: Web, ending: str) -> None:
    taken = await body_of(await web.client.post(TRANSCRIPTIONS, data=named(f"talk.{ending}")), 202)
    assert (await ended(web, taken["id"]))["status"] == "completed"


@pytest.mark.parametrize("path", [*BOTH, *SYNC])
async def test_an_empty_file(web: Web, path: str) -> None:
    response = await web.client.post(path, data=named("talk.wav", b""))
    await refused(response, 422, "api_error", "invalid_audio_format")


@pytest.mark.parametrize("path", SYNC)
async def test_more_than_50_mb_at_once(web: Web, path: str) -> None:
    data = named("talk.wav", io.BytesIO(bytes(51 * 2**20 + 2**14)))
    error = await refused(await web.client.post(path, data=data), 422, "api_error", "file_too_large")
    assert error["message"] == "File size (51.02 MB) exceeds maximum (50 MB)"


async def test_more_than_the_configured_limit(web: Web) -> None:
    web.live.current = changed(web.live.current, "limits", upload=Size("10B"))
    response = await web.client.post(TRANSCRIPTIONS, data=form("audio"))
    await refused(response, 422, "api_error", "file_too_large")
    assert len(RECORDING) > 10
    state = web.live.current.paths.state
    assert not [path for path in state.glob("jobs/incoming/*") if path.is_dir()]


# ---- ids -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [TRANSCRIPTIONS, DIARIZATION, JOBS])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_id_that_is_no_uuid(web: Web, place: str, method: str) -> None:
    response = await web.client.request(method, f"{place}/sync-me")
    await refused(response, 400, "invalid_request_error", "invalid_id_format", wrapped=True)


@pytest.mark.parametrize(
    ("place", "code"),
    [
        (TRANSCRIPTIONS, "transcription_not_found"),
        (DIARIZATION, "job_not_found"),
        (JOBS, "job_not_found"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_id_that_nothing_has(web: Web, place: str, method: str, code: str) -> None:
    await refused(await web.client.request(method, f"{place}/{NOBODYS}"), 404, "api_error", code)


async def test_a_model_that_there_is_not(web: Web) -> None:
    response = await web.client.post(TRANSCRIPTIONS, data=form("audio", model="huge"))
    await refused(response, 404, "model_not_found", "model_not_found")
    assert await look(web, JOBS) == []


async def test_a_job_that_has_ended_cant_be_cancelled(web: Web) -> None:
    taken = await submit(web)
    await ended(web, taken["id"])
    response = await web.client.delete(f"{JOBS}/{taken['id']}")
    await refused(response, 400, "invalid_request_error", "job_not_cancellable", wrapped=True)


# ---- the engine ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [EngineError("broke"), WorkerDied("died"), OutOfMemory("full"), DeadlineExceeded("late")]
)
async def test_a_failure_at_once_is_the_engines(web: Web, error: Exception) -> None:
    web.service.error = error
    response = await web.client.post(f"{TRANSCRIPTIONS}/sync", data=form("audio"))
    await refused(response, 500, "transcription_error", "stt_service_error", wrapped=True)
    response = await web.client.post(f"{DIARIZATION}/sync", data=form("audio"))
    await refused(response, 500, "diarization_error", "diarization_service_error", wrapped=True)


@pytest.mark.parametrize("path", SYNC)
async def test_bytes_that_are_no_recording_are_the_callers_mistake(web: Web, path: str) -> None:
    web.service.error = MediaError("the file is no recording")
    response = await web.client.post(path, data=form("audio"))
    await refused(response, 422, "api_error", "invalid_audio_format")


@pytest.mark.parametrize("path", SYNC)
async def test_who_comes_too_early_may_come_again(web: Web, path: str) -> None:
    web.service.error = NotReady("loading")
    response = await web.client.post(path, data=form("audio"))
    await refused(response, 503, "server_error", "not_ready")
    assert int(response.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("path", SYNC)
async def test_what_nobody_foresaw_is_not_explained(web: Web, path: str) -> None:
    web.service.error = ZeroDivisionError("a secret")
    response = await web.client.post(path, data=form("audio"))
    error = await refused(response, 500, "server_error", None)
    assert error["message"] == "An internal server error occurred."


async def test_a_url_that_leads_nowhere_fails_the_job(web: Web) -> None:
    response = await web.client.post(TRANSCRIPTIONS, json={"audio_url": THERE})
    job = await ended(web, (await body_of(response, 202))["id"])
    assert (job["status"], job["error"]["details"]) == ("failed", {"code": "url_not_found"})


async def test_another_method_is_405(web: Web) -> None:
    response = await web.client.put(TRANSCRIPTIONS, data=b"")
    assert response.status == 405
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "form"])
@pytest.mark.parametrize(("levels", "status"), [(100, 202), (101, 422), (940, 422), (950, 422)])
async def test_metadata_is_nested_as_deeply_as_it_can_be_read_again(
    web: Web, levels: int, status: int, as_json: bool
) -> None:
    metadata = '{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"
    if as_json:
        body = f'{{"audio_url": "{THERE}", "metadata": {metadata}}}'
        headers = {"Content-Type": "application/json"}
        response = await web.client.post(TRANSCRIPTIONS, data=body, headers=headers)
    else:
        response = await web.client.post(TRANSCRIPTIONS, data=form("audio", metadata=metadata))
    assert response.status == status
    body = await response.json()
    if status == 202:
        response = await web.client.get(f"{TRANSCRIPTIONS}/{body['id']}")
        assert (await response.json())["metadata"] == json.loads(metadata)
    else:
        assert body["error"]["type"] == "invalid_request_error"
