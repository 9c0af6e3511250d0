"""Lexia's gateway, diarizations: every key as served, overlaps included, in milliseconds and letters."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_service import SPOKEN, TRANSCRIPT, Web, form, serving
from gateway import DIARIZATION, JOBS, TRANSCRIPTIONS, body_of, ended, look, submit
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.errors import MediaError
from whisperd.transcript.model import SpeakerHints, Turn

KEYS = [
    "id", "status", "created_at", "completed_at", "audio_url", "audio_duration", "utterances", "speakers",
    "segments", "overlaps", "stats", "rttm", "error", "metadata",
]  # fmt: skip
"""In the order in which Lexia serves them."""
RESULTS = ("utterances", "speakers", "segments", "overlaps", "stats", "rttm")

TURNS = [
    Turn(1.5, 4.0, "SPEAKER_00"),
    Turn(0.0, 2.0009, "SPEAKER_01"),
    Turn(6.0, 7.0, "SPEAKER_01"),
]
EXPECTED: Any = {
    "audio_duration": 5240,
    "utterances": [
        {"speaker": "A", "start": 0, "end": 2000, "text": "", "confidence": 1.0, "words": None},
        {"speaker": "B", "start": 1500, "end": 4000, "text": "", "confidence": 1.0, "words": None},
        {"speaker": "A", "start": 6000, "end": 7000, "text": "", "confidence": 1.0, "words": None},
    ],
    "speakers": [
        {
            "id": "A",
            "label": None,
            "total_duration": 3000,
            "num_segments": 2,
            "percentage": 54.55,
            "avg_segment_duration": 1500,
        },
        {
            "id": "B",
            "label": None,
            "total_duration": 2500,
            "num_segments": 1,
            "percentage": 45.45,
            "avg_segment_duration": 2500,
        },
    ],
    "segments": [
        {"speaker": "A", "start": 0, "end": 2000, "confidence": 1.0},
        {"speaker": "B", "start": 1500, "end": 4000, "confidence": 1.0},
        {"speaker": "A", "start": 6000, "end": 7000, "confidence": 1.0},
    ],
    "overlaps": [{"speakers": ["A", "B"], "start": 1500, "end": 2000, "duration": 500}],
    "stats": {
        "version": "1.0",
        "model": "diarization",
        "audio_duration": 5240,
        "num_speakers": 2,
        "num_segments": 3,
        "num_overlaps": 1,
        "overlap_duration": 500,
        "processing_time": 1600,
    },
    "rttm": "SPEAKER talk 1 0.000 2.001 <NA> <NA> A <NA> <NA>\n"
    "SPEAKER talk 1 1.500 2.500 <NA> <NA> B <NA> <NA>\n"
    "SPEAKER talk 1 6.000 1.000 <NA> <NA> A <NA> <NA>\n",
}


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        web.service.answer = replace(SPOKEN, turns=TURNS, segments=[], model="diarization")
        yield web


async def diarized(web: Web, **fields: str) -> Any:
    taken = await submit(web, DIARIZATION, **fields)
    await ended(web, taken["id"])
    return await look(web, f"{DIARIZATION}/{taken['id']}")


async def test_a_recording_is_taken_with_the_whole_object_without_results(web: Web) -> None:
    body = await submit(web, DIARIZATION, metadata='{"case": 7}')
    assert list(body)[: len(KEYS)] == KEYS
    assert (body["status"], body["metadata"]) == ("queued", {"case": 7})
    assert {name: body[name] for name in RESULTS} == dict.fromkeys(RESULTS)
    assert (body["completed_at"], body["error"]) == (None, None)


async def test_a_diarization_has_every_key_and_its_overlaps(web: Web) -> None:
    body = await diarized(web)
    assert list(body)[: len(KEYS)] == KEYS
    assert {name: body[name] for name in EXPECTED} == EXPECTED
    assert (body["status"], body["error"]) == ("completed", None)
    assert (web.service.asked.text, web.service.asked.speakers) == (False, True)


async def test_its_job_has_the_result(web: Web) -> None:
    body = await diarized(web)
    job = await look(web, f"{JOBS}/{body['id']}")
    assert job["result"] == {name: body[name] for name in RESULTS}


async def test_a_diarization_can_be_had_at_once(web: Web) -> None:
    response = await web.client.post(f"{DIARIZATION}/sync", data=form("audio", speakers_expected="2"))
    body = await body_of(response)
    assert list(body)[: len(KEYS)] == KEYS
    assert {name: body[name] for name in EXPECTED} == EXPECTED
    assert web.service.asked.hints == SpeakerHints(exactly=2)
    assert (await web.client.get(f"{DIARIZATION}/{body['id']}")).status == 404


@pytest.mark.parametrize("way", ["suffix", "accept"])
async def test_rttm_can_be_had_alone(web: Web, way: str) -> None:
    body = await diarized(web)
    path = f"{DIARIZATION}/{body['id']}"
    if way == "suffix":
        response = await web.client.get(f"{path}.rttm")
    else:
        response = await web.client.get(path, headers={"Accept": "text/x-rttm"})
    assert (response.content_type, await response.text()) == ("text/x-rttm", EXPECTED["rttm"])


@pytest.mark.parametrize(
    "fields",
    [
        {"speakers_expected": "3", "min_speakers_expected": "2", "max_speakers_expected": "4"},
        {"num_speakers": "3", "min_speakers": "2", "max_speakers": "4"},
    ],
    ids=["now", "earlier"],
)
async def test_hints_reach_the_service(web: Web, fields: dict[str, str]) -> None:
    await diarized(web, **fields)
    assert web.service.asked.hints == SpeakerHints(3, 2, 4)


async def test_hints_that_contradict_each_other_are_refused(web: Web) -> None:
    data = form("audio", min_speakers_expected="4", max_speakers_expected="2")
    assert (await body_of(await web.client.post(DIARIZATION, data=data), 422))["error"]["code"] is None


async def test_of_a_job_for_both_the_diarization_has_the_text(web: Web) -> None:
    web.service.answer = replace(SPOKEN, turns=SPOKEN.turns)
    taken = await submit(web, speaker_labels="true")
    await ended(web, taken["id"])
    text = await look(web, f"{TRANSCRIPTIONS}/{taken['id']}")
    speakers = await look(web, f"{DIARIZATION}/{taken['id']}")
    assert speakers["utterances"] == text["utterances"]
    assert [one["text"] for one in text["utterances"]] == ["Hello world.", "Good-bye."]
    assert [one["id"] for one in speakers["speakers"]] == text["speakers"] == ["A", "B"]
    assert speakers["stats"]["model"] is None


async def test_a_recording_without_speech_has_no_speakers(web: Web) -> None:
    web.service.answer = replace(TRANSCRIPT, segments=[], model="diarization")
    body = await diarized(web)
    assert (body["speakers"], body["utterances"], body["overlaps"], body["rttm"]) == ([], [], [], "")


async def test_a_failed_one_says_why(web: Web) -> None:
    web.service.error = MediaError("the file is no recording")
    body = await diarized(web)
    assert (body["status"], body["error"], body["speakers"]) == ("error", "the file is no recording", None)
    job = await look(web, f"{JOBS}/{body['id']}")
    assert job["error"]["code"] == "DIARIZATION_ERROR"


async def test_a_deleted_one_is_gone(web: Web) -> None:
    body = await diarized(web)
    path = f"{DIARIZATION}/{body['id']}"
    assert (await web.client.delete(path)).status == 204
    assert (await web.client.get(path)).status == 404
    assert (await web.client.delete(path)).status == 404
