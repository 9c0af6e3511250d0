"""Lexia's speech server: every key of its answers, in seconds, and FastAPI's shapes for what is wrong."""

import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import FormData
from fake_service import RECORDING, SPOKEN, TRANSCRIPT, Web, form, serving
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.errors import EngineError, MediaError, QueueFull
from whisperd.transcript.model import Notice, SpeakerHints, Transcript, Turn

TRANSCRIBE = "/transcribe"
DIARIZE = "/diarize"
OF_LEXIA = {"word_timestamps": "true"}
"""Options in the query, by which `/transcribe` knows the dialect."""


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


async def ask(web: Web, path: str, **query: str) -> Any:
    response = await web.client.post(path, data=form("audio"), params=query or OF_LEXIA)
    body = await response.json()
    assert response.status == 200, body
    return body


async def refusal(web: Web, path: str, **query: str) -> Any:
    """The one thing that was wrong."""
    response = await web.client.post(path, data=form("audio"), params=query)
    assert response.status == 422
    [wrong] = (await response.json())["detail"]
    return wrong


# ---- transcription -------------------------------------------------------------------------------


async def test_every_key_of_a_transcript_is_there(web: Web) -> None:
    hello = {"text": " Hello", "start": 0.004, "end": 1.2, "confidence": 0.9}
    world = {"text": " world.", "start": 1.2, "end": 2.496, "confidence": 0.8}
    bye = {"text": " Good-bye.", "start": 3.0, "end": 5.0, "confidence": 0.7}
    body = await ask(web, TRANSCRIBE)
    assert body == {
        "text": "Hello world. Good-bye.",
        "segments": [
            {
                "id": 0,
                "text": "Hello world.",
                "start": 0.004,
                "end": 2.496,
                "confidence": pytest.approx(0.85),
                "words": [hello, world],
            },
            {"id": 1, "text": "Good-bye.", "start": 3.0, "end": 5.0, "confidence": 0.7, "words": [bye]},
        ],
        "words": [hello, world, bye],
        "language": "en",
        "language_confidence": 0.98,
        "duration": 5.24,
    }
    assert web.service.recordings == [RECORDING]
    assert web.service.asked.words


async def test_without_words_a_segment_has_the_confidence_of_its_tokens(web: Web) -> None:
    web.service.answer = replace(
        TRANSCRIPT, segments=[replace(segment, words=[]) for segment in TRANSCRIPT.segments]
    )
    body = await ask(web, TRANSCRIBE, word_timestamps="false")
    assert not web.service.asked.words
    assert body["words"] == []
    assert [segment["words"] for segment in body["segments"]] == [None, None]
    assert body["segments"][0]["confidence"] == pytest.approx(math.exp(-0.25))


async def test_the_language_reaches_the_service(web: Web) -> None:
    await ask(web, TRANSCRIBE, language="fr")
    assert web.service.asked.language == "fr"


async def test_silence_keeps_every_key(web: Web) -> None:
    web.service.answer = Transcript(duration=3.0)
    assert await ask(web, TRANSCRIBE) == {
        "text": "",
        "segments": [],
        "words": [],
        "language": "unknown",
        "language_confidence": 0.0,
        "duration": 3.0,
    }


async def test_options_that_have_no_effect_are_named(web: Web) -> None:
    body = await ask(web, TRANSCRIBE, colour="red")
    assert [notice["message"] for notice in body["warnings"]] == ["colour has no effect here"]


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [("word_timestamps", "maybe", "bool_parsing"), ("language", "klingon", "value_error")],
)
async def test_a_wrong_option_is_422_with_its_place(web: Web, name: str, value: str, kind: str) -> None:
    wrong = await refusal(web, TRANSCRIBE, **{name: value})
    assert set(wrong) == {"type", "loc", "msg", "input"}
    assert (wrong["type"], wrong["loc"], wrong["input"]) == (kind, ["query", name], value)


# ---- diarization ---------------------------------------------------------------------------------

TURNS = [
    Turn(0.0, 2.0, "SPEAKER_01"),
    Turn(1.5, 4.0, "SPEAKER_00"),
    Turn(2.25, 2.5, "SPEAKER_01"),
    Turn(6.0, 7.0, "SPEAKER_01"),
]


@pytest.fixture
def talk(web: Web) -> Web:
    web.service.answer = replace(SPOKEN, turns=TURNS, segments=[], model="diarization")
    return web


async def test_every_key_of_a_diarization_is_there(talk: Web) -> None:
    talk.service.answer = replace(talk.service.answer, turns=TURNS[:2])
    response = await talk.client.post(DIARIZE, data=form("audio"))
    assert (response.status, await response.json()) == (
        200,
        {
            "speakers": [
                {"id": "A", "total_duration": 2.0, "num_segments": 1, "percentage": 44.44},
                {"id": "B", "total_duration": 2.5, "num_segments": 1, "percentage": 55.56},
            ],
            "segments": [
                {"speaker": "A", "start": 0.0, "end": 2.0, "confidence": 1.0},
                {"speaker": "B", "start": 1.5, "end": 4.0, "confidence": 1.0},
            ],
            "overlaps": [{"speakers": ["A", "B"], "start": 1.5, "end": 2.0, "duration": 0.5}],
            "stats": {
                "version": "1.0",
                "model": "diarization",
                "audio_duration": 5.24,
                "num_speakers": 2,
                "num_segments": 2,
                "num_overlaps": 1,
                "overlap_duration": 0.5,
                "processing_time": 1.6,
            },
            "rttm": "SPEAKER talk 1 0.000 2.000 <NA> <NA> A <NA> <NA>\n"
            "SPEAKER talk 1 1.500 2.500 <NA> <NA> B <NA> <NA>\n",
        },
    )
    assert (talk.service.asked.text, talk.service.asked.speakers) == (False, True)


async def test_hints_reach_the_service(talk: Web) -> None:
    await ask(talk, DIARIZE, num_speakers="3", min_speakers="2", max_speakers="20")
    assert talk.service.asked.hints == SpeakerHints(3, 2, 20)


async def test_short_segments_are_left_out_and_overlaps_are_still_told(talk: Web) -> None:
    body = await ask(talk, DIARIZE, min_segment_duration="0.5")
    assert [segment["start"] for segment in body["segments"]] == [0.0, 1.5, 6.0]
    assert body["stats"]["num_segments"] == 3
    assert [overlap["start"] for overlap in body["overlaps"]] == [1.5, 2.25]
    assert body["rttm"].count("\n") == 3


async def test_gaps_are_closed_where_asked(talk: Web) -> None:
    body = await ask(talk, DIARIZE, merge_gaps="0.3")
    assert [(segment["speaker"], segment["start"], segment["end"]) for segment in body["segments"]] == [
        ("A", 0.0, 2.5),
        ("B", 1.5, 4.0),
        ("A", 6.0, 7.0),
    ]
    speaker = body["speakers"][0]
    assert (speaker["id"], speaker["num_segments"], speaker["total_duration"]) == ("A", 2, 3.5)


async def test_gaps_are_left_where_nothing_is_asked(talk: Web) -> None:
    body = await ask(talk, DIARIZE, num_speakers="2")
    assert body["stats"]["num_segments"] == 4
    assert "warnings" not in body


async def test_silence_has_no_speakers(web: Web) -> None:
    web.service.answer = Transcript(duration=3.0, model="diarization")
    body = await ask(web, DIARIZE, num_speakers="2")
    assert (body["speakers"], body["segments"], body["overlaps"], body["rttm"]) == ([], [], [], "")


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("num_speakers", "0", "int_parsing"),
        ("num_speakers", "21", "int_parsing"),
        ("min_speakers", "0", "int_parsing"),
        ("max_speakers", "21", "int_parsing"),
        ("min_segment_duration", "-1", "float_parsing"),
        ("merge_gaps", "nan", "float_parsing"),
        ("merge_gaps", "inf", "float_parsing"),
    ],
)
async def test_a_wrong_hint_is_422_with_its_place(web: Web, name: str, value: str, kind: str) -> None:
    wrong = await refusal(web, DIARIZE, **{name: value})
    assert (wrong["type"], wrong["loc"], wrong["input"]) == (kind, ["query", name], value)
    assert web.service.requests == []


# ---- what is wrong -------------------------------------------------------------------------------


async def test_a_form_without_the_recording_is_422(web: Web) -> None:
    data = FormData({"x": "y"})
    data._is_multipart = True
    response = await web.client.post(DIARIZE, data=data)
    assert response.status == 422
    [wrong] = (await response.json())["detail"]
    assert (wrong["type"], wrong["loc"], wrong["input"]) == ("missing", ["body", "audio"], None)


@pytest.mark.parametrize(
    ("path", "work"), [(TRANSCRIBE, "Transcription failed: "), (DIARIZE, "Diarization failed: ")]
)
async def test_a_failure_of_the_engine_says_which_work_it_was(web: Web, path: str, work: str) -> None:
    web.service.error = EngineError("the worker failed")
    response = await web.client.post(
        path, data=form("audio"), params={"language": "en"} if path == TRANSCRIBE else {}
    )
    assert (response.status, await response.json()) == (500, {"detail": f"{work}the worker failed"})


@pytest.mark.parametrize(
    ("error", "status"), [(MediaError("no recording"), 400), (QueueFull("too many"), 503)]
)
async def test_other_errors_are_a_sentence(web: Web, error: Exception, status: int) -> None:
    web.service.error = error
    response = await web.client.post(DIARIZE, data=form("audio"))
    assert (response.status, await response.json()) == (status, {"detail": str(error)})


async def test_the_services_warnings_come_along(web: Web) -> None:
    web.service.answer = replace(TRANSCRIPT, warnings=[Notice("audio_truncated", "it ends early")])
    body = await ask(web, TRANSCRIBE)
    assert body["warnings"] == [{"code": "audio_truncated", "message": "it ends early"}]
