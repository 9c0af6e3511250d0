"""The werify app's endpoints: every key of its answers, and FastAPI's shapes for what is wrong."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import FormData
from fake_service import RECORDING, SPOKEN, TRANSCRIPT, Web, form, serving
from msgspec.structs import replace
from yarl import URL

from whisperd.config.live import Live
from whisperd.errors import (
    EngineError,
    MediaError,
    ParameterError,
    QueueFull,
    TooLong,
)
from whisperd.transcript.model import Notice, SpeakerHints, Transcript

PATH = "/transcribe"


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


async def ask(web: Web, **query: str) -> Any:
    response = await web.client.post(PATH, data=form(), params=query)
    body = await response.json()
    assert response.status == 200, body
    return body


async def refusal(web: Web, **query: str) -> Any:
    """The one thing that was wrong."""
    response = await web.client.post(PATH, data=form(), params=query)
    assert response.status == 422
    [wrong] = (await response.json())["detail"]
    return wrong


async def test_every_key_is_there_and_segments_are_null_unless_asked_for(web: Web) -> None:
    assert await ask(web) == {
        "text": "Hello world. Good-bye.",
        "language": "en",
        "duration": 5.24,
        "processing_time": 1.5,
        "queue_wait_time": 0.5,
        "segments": None,
    }
    assert web.service.recordings == [RECORDING]


@pytest.mark.parametrize("yes", ["true", "True", "1", "yes", "on"])
async def test_segments_are_rounded_and_trimmed(web: Web, yes: str) -> None:
    assert (await ask(web, include_segments=yes))["segments"] == [
        {"start": 0.0, "end": 2.5, "text": "Hello world."},
        {"start": 3.0, "end": 5.0, "text": "Good-bye."},
    ]


async def test_speakers_bring_segments_that_name_them(web: Web) -> None:
    web.service.answer = SPOKEN
    body = await ask(web, speakers="true", num_speakers="2")
    assert [segment["speaker"] for segment in body["segments"]] == ["SPEAKER_01", "SPEAKER_00"]
    assert web.service.asked.speakers
    assert web.service.asked.hints == SpeakerHints(exactly=2)


async def test_the_query_reaches_the_service(web: Web) -> None:
    await ask(web, language="pt", task="translate", temperature="0.25")
    asked = web.service.asked
    assert (asked.language, asked.task, asked.temperature) == ("pt", "translate", 0.25)


@pytest.mark.parametrize(("language", "asked"), [("", None), ("auto", "auto"), ("AUTO", "auto")])
async def test_detection_can_be_asked_for_or_left_to_the_server(
    web: Web, language: str, asked: str | None
) -> None:
    await ask(web, language=language)
    assert web.service.asked.language == asked


async def test_silence_keeps_every_key(web: Web) -> None:
    web.service.answer = Transcript(duration=3.0)
    body = await ask(web, include_segments="1")
    assert (body["text"], body["language"], body["duration"], body["segments"]) == ("", None, 3.0, [])


async def test_options_in_the_form_have_no_effect_and_that_is_said(web: Web) -> None:
    response = await web.client.post(PATH, data=form(language="de", include_segments="true"))
    body = await response.json()
    assert body["segments"] is None
    assert web.service.asked.language is None
    assert [notice["code"] for notice in body["warnings"]] == ["parameter_ignored"] * 2
    assert "language" in body["warnings"][1]["message"]
    assert "query" in body["warnings"][1]["message"]


async def test_best_of_and_unknown_options_are_taken_and_said_to_have_no_effect(web: Web) -> None:
    body = await ask(web, best_of="5", colour="red")
    assert [notice["message"] for notice in body["warnings"]] == [
        "best_of has no effect here",
        "colour has no effect here",
    ]


async def test_hints_without_speakers_are_said_to_have_no_effect(web: Web) -> None:
    body = await ask(web, num_speakers="2")
    assert [notice["message"] for notice in body["warnings"]] == ["num_speakers has no effect here"]
    assert "warnings" not in await ask(web, num_speakers="2", speakers="true")


async def test_the_services_warnings_come_along(web: Web) -> None:
    web.service.answer = replace(TRANSCRIPT, warnings=[Notice("audio_truncated", "it ends early")])
    body = await ask(web)
    assert body["warnings"] == [{"code": "audio_truncated", "message": "it ends early"}]


@pytest.mark.parametrize(
    ("query", "name", "kind"),
    [
        ({"include_segments": "maybe"}, "include_segments", "bool_parsing"),
        ({"temperature": "hot"}, "temperature", "float_parsing"),
        ({"best_of": "many"}, "best_of", "int_parsing"),
        ({"language": "klingon"}, "language", "value_error"),
        ({"task": "summarize"}, "task", "value_error"),
        ({"min_speakers": "3", "max_speakers": "2"}, "min_speakers", "int_parsing"),
    ],
)
async def test_a_wrong_option_is_422_with_its_place(
    web: Web, query: dict[str, str], name: str, kind: str
) -> None:
    wrong = await refusal(web, **query)
    assert set(wrong) == {"type", "loc", "msg", "input"}
    assert wrong["loc"] == ["query", name]
    assert wrong["type"] == kind
    assert wrong["input"] == query[name]
    assert name in wrong["msg"]
    assert web.service.requests == []


async def test_speakers_that_cannot_be_had_are_refused_under_their_name_here(web: Web) -> None:
    web.service.error = ParameterError("configured without diarization", param="diarize")
    assert (await refusal(web, speakers="true"))["loc"] == ["query", "speakers"]


async def test_bytes_in_the_query_that_are_no_text_are_the_callers_mistake(web: Web) -> None:
    response = await web.client.post(URL(f"{PATH}?language=%FF", encoded=True), data=form())
    assert response.status == 422


async def test_a_form_without_the_recording_is_422(web: Web) -> None:
    response = await web.client.post(PATH, json={"url": "http://example.org"})
    assert response.status == 422
    [wrong] = (await response.json())["detail"]
    assert (wrong["type"], wrong["loc"], wrong["input"]) == ("missing", ["body", "file"], None)


async def test_other_errors_are_a_sentence(web: Web) -> None:
    web.service.error = EngineError("the worker failed")
    response = await web.client.post(PATH, data=form())
    assert (response.status, await response.json()) == (500, {"detail": "the worker failed"})
    web.service.error = QueueFull("64 requests are waiting already", retry_after_s=7)
    response = await web.client.post(PATH, data=form())
    assert (response.status, response.headers["Retry-After"]) == (503, "7")


@pytest.mark.parametrize("field", ["file", "files"])
async def test_a_recording_may_be_in_either_field(web: Web, field: str) -> None:
    response = await web.client.post(PATH, data=form(field))
    assert response.status == 200
    assert web.service.recordings == [RECORDING]


# ---- files that are none -------------------------------------------------------------------------


def named(filename: str, field: str = "file", content: bytes = b"no recording") -> FormData:
    data = FormData()
    data.add_field(field, content, filename=filename)
    return data


@pytest.mark.parametrize(
    ("filename", "detail"),
    [
        ("notes.txt", "Unsupported: .txt"),
        ("notes.TXT", "Unsupported: .TXT"),
        ("talk.mp3", "not a recording"),
        ("talk", "not a recording"),
    ],
)
async def test_what_can_not_be_decoded_is_blamed_on_a_name_that_is_no_recordings(
    web: Web, filename: str, detail: str
) -> None:
    web.service.error = MediaError("not a recording")
    response = await web.client.post(PATH, data=named(filename))
    assert (response.status, await response.json()) == (400, {"detail": detail})


async def test_a_name_that_is_no_recordings_is_no_reason_to_refuse_one(web: Web) -> None:
    response = await web.client.post(PATH, data=named("talk.txt"))
    assert response.status == 200


async def test_a_recording_that_is_too_long_is_not_blamed_on_its_name(web: Web) -> None:
    web.service.error = TooLong("longer than 12h")
    response = await web.client.post(PATH, data=named("talk.xyz"))
    assert (response.status, await response.json()) == (413, {"detail": "longer than 12h"})
