"""The API's description says what the handlers do: their routes, their parameters, their replies."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from described import check, described
from fake_service import MIXED, READY, SPOKEN, TRANSCRIPT, Web, form, serving
from msgspec.structs import replace
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from whisperd.config.live import Live
from whisperd.errors import MediaError, QueueFull
from whisperd.transcript.model import Notice, Transcript

OPENAI = "/v1/audio/transcriptions"
DIARIZATION = "/v1/audio/diarization"
WERIFY = "/transcribe"
NOT_DESCRIBED = {("GET", "/"), ("GET", "/redoc"), ("GET", "/docs/{asset}")}


@pytest.fixture
async def server(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as server:
        yield server


# ---- the document --------------------------------------------------------------------------------


async def test_it_is_openapi_3_1(server: Web) -> None:
    document = await described(server)
    assert document["openapi"].startswith("3.1.")
    validate(document)


async def test_it_describes_every_route_and_no_other(server: Web) -> None:
    app = server.client.app
    assert isinstance(app, web.Application)
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource and route.method != "HEAD"
    }
    document = await described(server)
    written = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert served == written | NOT_DESCRIBED
    assert not written & NOT_DESCRIBED


async def test_operations_have_names_of_their_own(server: Web) -> None:
    document = await described(server)
    names = [
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", [DIARIZATION])
async def test_the_recording_is_the_one_field_that_must_be_there(server: Web, path: str) -> None:
    body = (await described(server))["paths"][path]["post"]["requestBody"]
    schema = body["content"]["multipart/form-data"]["schema"]
    assert schema["required"] == ["file"]
    assert schema["properties"]["file"]["format"] == "binary"


async def test_where_a_recording_may_be_in_several_fields_one_of_them_must_be_there(server: Web) -> None:
    body = (await described(server))["paths"][WERIFY]["post"]["requestBody"]
    forms = body["content"]["multipart/form-data"]["schema"]
    for schema in [forms] if "properties" in forms else forms["anyOf"]:
        required = [alternative["required"] for alternative in schema.get("anyOf", [schema])]
        for [name] in required:
            assert schema["properties"][name]["format"] == "binary"


async def test_every_field_that_is_described_is_known(server: Web) -> None:
    """Sends each with its least or first value: none may be wrong, and none unknown."""
    document = await described(server)
    forms = document["paths"][OPENAI]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    fields = {name: field for name, field in forms["anyOf"][0]["properties"].items() if name != "file"}
    voice = {"known_speaker_names[]": "agent", "known_speaker_references[]": "data:audio/wav;base64,UklGRg=="}
    samples = {
        "model": "whisper-1",
        "language": "en",
        "languages[]": "en",
        "response_format": "verbose_json",
        "chunking_strategy": "auto",
        "stream": "false",
        **voice,
    }
    with_others = {
        "include[]": {"response_format": "json"},
        **{name: {"diarize": "true", **voice} for name in voice},
    }
    for name, field in fields.items():
        item = field.get("items", field)
        sample = samples.get(name) or str(item.get("enum", [item.get("minimum", "true")])[0])
        others = with_others.get(name, {"response_format": "verbose_json", "diarize": "true"})
        response = await server.client.post(OPENAI, data=form(**(others | {name: sample})))
        assert response.status == 200, await response.text()
        assert "warnings" not in await response.json(), name


# ---- replies -------------------------------------------------------------------------------------

WARNED = replace(TRANSCRIPT, warnings=[Notice("audio_truncated", "cut off")])
SILENCE = Transcript(duration=1.0)


@pytest.mark.parametrize("answer", [TRANSCRIPT, SPOKEN, MIXED, WARNED, SILENCE])
@pytest.mark.parametrize("shape", ["json", "text", "srt", "vtt", "verbose_json", "diarized_json"])
async def test_transcriptions_are_as_described(server: Web, answer: Transcript, shape: str) -> None:
    server.service.answer = answer
    times = {"timestamp_granularities[]": ["word", "segment"]} if shape == "verbose_json" else {}
    response = await server.client.post(OPENAI, data=form(response_format=shape, **times))
    assert await check(server, response) == "200"


@pytest.mark.parametrize("answer", [SPOKEN, WARNED, SILENCE])
@pytest.mark.parametrize("shape", ["json", "rttm"])
async def test_diarizations_are_as_described(server: Web, answer: Transcript, shape: str) -> None:
    server.service.answer = answer
    response = await server.client.post(DIARIZATION, data=form(response_format=shape))
    assert await check(server, response) == "200"


@pytest.mark.parametrize("answer", [TRANSCRIPT, SPOKEN, MIXED, WARNED, SILENCE])
@pytest.mark.parametrize("query", ["", "?include_segments=1", "?speakers=1"])
async def test_werifys_replies_are_as_described(server: Web, answer: Transcript, query: str) -> None:
    server.service.answer = answer
    response = await server.client.post(WERIFY + query, data=form())
    assert await check(server, response) == "200"


@pytest.mark.parametrize("path", [OPENAI, DIARIZATION, WERIFY, f"{WERIFY}?task=x"])
@pytest.mark.parametrize(
    "error", [MediaError("no recording"), QueueFull("too many"), ZeroDivisionError("a bug")]
)
async def test_errors_are_as_described(server: Web, path: str, error: Exception) -> None:
    server.service.error = error
    response = await server.client.post(path, data=form())
    assert await check(server, response) == "default"
    response = await server.client.post(path, json={})
    assert await check(server, response) == "default"


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/metrics", "/docs"])
async def test_what_those_who_run_it_see_is_as_described(server: Web, path: str, ready: bool) -> None:
    server.service.state = replace(
        READY, ready=ready, reason=None if ready else "loading", notes=[Notice("cpu_only", "no GPU")]
    )
    response = await server.client.get(path)
    status = await check(server, response)
    expected = {"/health/ready": "503", "/docs": "default"}.get(path, "200") if not ready else "200"
    assert status == expected


async def test_a_reply_that_is_not_as_described_would_be_noticed(server: Web) -> None:
    """The check itself: a description that asks for more than there is."""
    document = await described(server)
    schema = document["paths"]["/health/live"]["get"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    whole = {**schema, "components": document["components"]}
    assert OAS31Validator(whole).is_valid({"live": True})
    assert not OAS31Validator(whole).is_valid({"live": "perhaps"})
