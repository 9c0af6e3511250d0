"""Transcripts as server-sent events: what comes when, and what happens when something goes wrong."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ClientResponse
from aiohttp import web as web_api
from conftest import until
from fake_service import MIXED, SPOKEN, TRANSCRIPT, Web, form, serving
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.errors import MediaError, QueueFull, WorkerDied
from whisperd.transcript.model import Notice, Segment, Transcript
from whisperd.web import sse

PATH = "/v1/audio/transcriptions"


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


async def begin(web: Web, **fields: str) -> ClientResponse:
    return await web.client.post(PATH, data=form(stream="true", **fields))


async def events(web: Web, **fields: str) -> list[Any]:
    """All that comes, up to the end."""
    response = await begin(web, **fields)
    assert response.status == 200, await response.text()
    return read(await response.text())


def read(text: str) -> list[Any]:
    blocks = text.split("\n\n")
    assert blocks.pop() == "", "every event ends with an empty line"
    assert all(block.startswith("data: ") for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def said(told: list[Any]) -> str:
    return "".join(event["delta"] for event in told if event["type"] == "transcript.text.delta")


# ---- events --------------------------------------------------------------------------------------


async def test_deltas_are_the_text_and_the_end_has_it_whole(web: Web) -> None:
    assert await events(web) == [
        {"type": "transcript.text.delta", "delta": "Hello world."},
        {"type": "transcript.text.delta", "delta": " Good-bye."},
        {
            "type": "transcript.text.done",
            "text": "Hello world. Good-bye.",
            "usage": {"seconds": 5.24, "type": "duration"},
        },
    ]


async def test_it_is_an_event_stream_that_nobody_keeps_back(web: Web) -> None:
    response = await begin(web)
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["X-Request-Id"]


async def test_a_delta_comes_as_soon_as_its_segment_is_there(web: Web) -> None:
    web.service.may_answer.clear()
    response = await begin(web)
    first = await response.content.readuntil(b"\n\n")
    assert json.loads(first.removeprefix(b"data: "))["delta"] == "Hello world."
    web.service.may_answer.set()
    assert "transcript.text.done" in await response.text()


@pytest.mark.parametrize(
    "texts", [["  Hello ", "  world. "], [" ", " Hello", "", " there", "  "], ["", " "], ["你好", "世界"], []]
)
async def test_deltas_make_the_trimmed_text_whatever_space_segments_have(web: Web, texts: list[str]) -> None:
    segments = [Segment(id=number, start=0.0, end=1.0, text=text) for number, text in enumerate(texts)]
    web.service.answer = Transcript(duration=1.0, segments=segments)
    told = await events(web)
    assert said(told) == told[-1]["text"] == "".join(texts).strip()
    assert all(event["delta"] for event in told[:-1])


async def test_probabilities_come_with_each_delta_and_at_the_end(web: Web) -> None:
    told = await events(web, **{"include[]": "logprobs"})
    tokens = [[entry["token"] for entry in event["logprobs"]] for event in told]
    assert tokens == [[" Hello", " world."], [" Good-bye."], [" Hello", " world.", " Good-bye."]]


async def test_the_language_comes_at_the_end_where_it_was_asked_for(web: Web) -> None:
    assert (await events(web, model="gpt-transcribe"))[-1]["languages"] == [{"code": "en"}]


async def test_deltas_and_segments_say_what_speaks_against_them(web: Web) -> None:
    web.service.answer = MIXED
    told = await events(web, multilingual="true")
    assert [event.get("doubts") for event in told] == [["repeated", "no_voice"], None, None]
    assert told[-1]["languages"] == [{"code": "en"}, {"code": "de"}]
    assert [notice["code"] for notice in told[-1]["warnings"]] == ["text_doubted"]
    told = await events(web, response_format="diarized_json")
    doubts = [event.get("doubts") for event in told if event["type"] == "transcript.text.segment"]
    assert doubts == [["repeated", "no_voice"], None]


async def test_speakers_come_at_the_end_each_with_what_they_said(web: Web) -> None:
    web.service.answer = SPOKEN
    web.service.may_answer.clear()
    asking = asyncio.create_task(events(web, response_format="diarized_json"))
    await until(lambda: bool(web.service.requests))
    assert web.service.asked.speakers
    web.service.may_answer.set()
    told = await asking
    segment = {
        "type": "transcript.text.segment",
        "id": "seg_001",
        "start": 0.0,
        "end": 2.5,
        "text": "Hello world.",
        "speaker": "A",
    }
    assert told[:2] == [
        {"type": "transcript.text.delta", "delta": "A: Hello world.", "segment_id": "seg_001"},
        segment,
    ]
    assert [event["speaker"] for event in told if event["type"] == segment["type"]] == ["A", "B"]
    assert told[-1]["text"] == said(told) == "A: Hello world.\nB: Good-bye."


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ("json", "Hello world. Good-bye."),
        ("text", "SPEAKER_01: Hello world.\nSPEAKER_00: Good-bye."),
    ],
)
async def test_the_text_is_that_of_the_format(web: Web, shape: str, text: str) -> None:
    web.service.answer = SPOKEN
    told = await events(web, response_format=shape, diarize="true")
    assert told[-1]["text"] == said(told) == text


async def test_plain_text_comes_piece_by_piece_too(web: Web) -> None:
    told = await events(web, response_format="text")
    assert [event.get("delta") for event in told] == ["Hello world.", " Good-bye.", None]


@pytest.mark.parametrize("shape", ["verbose_json", "srt", "vtt"])
async def test_formats_that_are_no_stream_come_whole_and_say_so(web: Web, shape: str) -> None:
    response = await begin(web, response_format=shape)
    assert response.content_type != "text/event-stream"
    assert response.headers["X-Whisperd-Warnings"] == "parameter_ignored"


async def test_warnings_come_at_the_end(web: Web) -> None:
    web.service.answer = replace(TRANSCRIPT, warnings=[Notice("audio_truncated", "cut off")])
    response = await begin(web, colour="red")
    assert response.headers["X-Whisperd-Warnings"] == "parameter_ignored"
    codes = [notice["code"] for notice in read(await response.text())[-1]["warnings"]]
    assert codes == ["parameter_ignored", "audio_truncated"]


async def test_while_nothing_comes_there_is_a_sign_of_life(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.01)
    web.service.answer = replace(TRANSCRIPT, segments=[])
    web.service.may_answer.clear()
    response = await begin(web)
    assert (await response.content.readuntil(b"\n\n")).startswith(b":"), "a comment"
    web.service.may_answer.set()
    assert "transcript.text.done" in await response.text()


# ---- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [MediaError("no recording"), QueueFull("too many")])
async def test_an_error_before_the_first_event_is_a_reply_as_any_other(web: Web, error: Exception) -> None:
    web.service.error = error
    response = await begin(web)
    assert response.status == getattr(error, "status", None)
    assert ("Retry-After" in response.headers) == isinstance(error, QueueFull)
    assert set((await response.json())["error"]) == {"message", "type", "param", "code"}


async def test_an_error_behind_the_first_event_is_the_last_one(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    web.service.late_error = WorkerDied("the worker died")
    with caplog.at_level("INFO"):
        response = await begin(web)
        *_, last = (await response.text()).rstrip().split("\n\n")
        await until(lambda: " failed" in caplog.text)
    kind, _, data = last.partition("\n")
    assert kind == "event: error"
    assert json.loads(data.removeprefix("data: ")) == {
        "error": {"message": "the worker died", "type": "server_error", "param": None, "code": "worker_died"}
    }
    assert " 500 failed" in caplog.text, "the log does not believe the status that was sent"


async def test_a_failure_that_nobody_foresaw_breaks_the_stream_off(web: Web) -> None:
    web.service.late_error = ZeroDivisionError("a bug")
    response = await begin(web)
    with pytest.raises(ClientPayloadError):
        await response.text()


async def test_the_work_ends_when_the_client_leaves(web: Web) -> None:
    web.service.may_answer.clear()
    response = await begin(web)
    await response.content.readuntil(b"\n\n")
    assert web.spooled()
    response.close()
    await until(lambda: not web.spooled())
    assert web.service.cancelled == 1


async def test_a_client_who_left_while_events_were_written_is_no_failure(
    web: Web, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write(_: web_api.StreamResponse, __: bytes) -> None:
        raise ConnectionResetError("the transport is closing")

    monkeypatch.setattr(web_api.StreamResponse, "write", write)
    with caplog.at_level("INFO"):
        await begin(web)
        await until(lambda: " 499 cancelled" in caplog.text)
    assert not web.spooled()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
