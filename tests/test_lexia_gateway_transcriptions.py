"""Lexia's gateway, transcriptions: every key as served, both generations of names, forms of text, at once."""

import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_service import RECORDING, SPOKEN, TRANSCRIPT, Web, form, serving
from gateway import JOBS, NOBODYS, THERE, TRANSCRIPTIONS, body_of, ended, fileless, look, running, submit
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.errors import MediaError
from whisperd.transcript.model import Notice, Segment, SpeakerHints, Transcript, Turn, Word

KEYS = [
    "id", "status", "audio_url", "audio_duration", "text", "words", "confidence", "utterances",
    "language_code", "language_detection", "language_confidence", "punctuate", "format_text",
    "speaker_labels", "speakers_expected", "webhook_url", "webhook_status_code", "error", "created_at",
    "completed_at", "segments", "speakers", "metadata",
]  # fmt: skip
"""In the order in which Lexia serves them."""
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")

DIALOGUE = Transcript(
    duration=10.9,
    language="fr",
    language_probability=0.98,
    segments=[
        Segment(
            id=0,
            start=0.0,
            end=1.2349,
            text=" Bonjour à tous.",
            words=[
                Word(" Bonjour", 0.0, 0.5, 0.9, "SPEAKER_01"),
                Word(" à", 0.5, 0.6, 0.9, "SPEAKER_01"),
                Word(" tous.", 0.6, 1.2349, 0.6, "SPEAKER_01"),
            ],
            speaker="SPEAKER_01",
        ),
        Segment(
            id=1,
            start=1.5,
            end=2.0,
            text=" Merci.",
            words=[Word(" Merci.", 1.5, 2.0, 1.0, "SPEAKER_01")],
            speaker="SPEAKER_01",
        ),
        Segment(
            id=2,
            start=2.29,
            end=3.0,
            text=" Oui.",
            words=[Word(" Oui.", 2.29, 3.0, 0.5, "SPEAKER_00")],
            speaker="SPEAKER_00",
        ),
    ],
    turns=[Turn(0.0, 2.5, "SPEAKER_01"), Turn(2.25, 5.0, "SPEAKER_00")],
)


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


async def transcribed(web: Web, **fields: str) -> Any:
    """The transcription of a recording, once it is there."""
    taken = await submit(web, **fields)
    await ended(web, taken["id"])
    return await look(web, f"{TRANSCRIPTIONS}/{taken['id']}")


# ---- handing in ----------------------------------------------------------------------------------


async def test_a_recording_is_taken_with_202_and_five_keys(web: Web) -> None:
    response = await web.client.post(TRANSCRIPTIONS, data=form("audio"))
    body = await body_of(response, 202)
    assert list(body) == ["id", "status", "created_at", "audio_url", "estimated_completion"]
    assert str(uuid.UUID(body["id"])) == body["id"]
    assert MOMENT.fullmatch(body["created_at"])
    assert (body["status"], body["audio_url"], body["estimated_completion"]) == ("queued", None, None)
    assert response.headers["Location"] == f"{TRANSCRIPTIONS}/{body['id']}"
    assert (await ended(web, body["id"]))["status"] == "completed"
    assert web.service.recordings == [RECORDING]


@pytest.mark.parametrize("way", ["multipart", "urlencoded", "json"])
async def test_a_recording_may_be_named_by_its_url(web: Web, way: str) -> None:
    web.fetcher.files[THERE] = RECORDING
    fields = {"audio_url": THERE, "language_code": "en"}
    match way:
        case "multipart":
            response = await web.client.post(TRANSCRIPTIONS, data=fileless(**fields))
        case "urlencoded":
            response = await web.client.post(TRANSCRIPTIONS, data=fields)
        case _:
            response = await web.client.post(TRANSCRIPTIONS, json=fields)
    body = await body_of(response, 202)
    assert (body["status"], body["audio_url"]) == ("queued", THERE)
    await ended(web, body["id"])
    shown = await look(web, f"{TRANSCRIPTIONS}/{body['id']}")
    assert (shown["status"], shown["audio_url"], shown["text"]) == ("completed", THERE, TRANSCRIPT.text)
    assert web.service.recordings == [RECORDING]
    assert web.service.asked.language == "en"


async def test_a_recording_beside_its_url_wins_and_the_answer_says_so(web: Web) -> None:
    body = await transcribed(web, audio_url=THERE)
    assert body["audio_url"] is None
    assert "audio_url" in body["warnings"][0]["message"]
    assert web.service.recordings == [RECORDING]


async def test_names_without_effect_are_told_and_refused_nothing(web: Web) -> None:
    response = await web.client.post(TRANSCRIPTIONS, data=form("audio", colour="red", punctuate="false"))
    assert response.headers["X-Whisperd-Warnings"] == "parameter_ignored"
    body = await body_of(response, 202)
    await ended(web, body["id"])
    shown = await look(web, f"{TRANSCRIPTIONS}/{body['id']}")
    assert [notice["message"] for notice in shown["warnings"]] == [
        "punctuate has no effect here",
        "colour has no effect here",
    ]
    assert shown["punctuate"] is True


@pytest.mark.parametrize(
    ("fields", "language"),
    [
        ({}, "fr"),
        ({"language_code": "de"}, "de"),
        ({"language_code": "auto"}, "auto"),
        ({"language": "en"}, "en"),
        ({"language_detection": "true"}, "auto"),
        ({"language_detection": "true", "language_code": "es"}, "es"),
    ],
)
async def test_speech_is_french_unless_something_else_is_said(
    web: Web, fields: dict[str, str], language: str
) -> None:
    body = await transcribed(web, **fields)
    assert web.service.asked.language == language
    assert body["language_detection"] is (language == "auto")
    assert body["language_code"] == "en", "as it was heard"


@pytest.mark.parametrize(
    "fields",
    [
        {"speaker_labels": "true", "speakers_expected": "2"},
        {"speaker_diarization": "true", "num_speakers": "2"},
    ],
    ids=["now", "earlier"],
)
async def test_speakers_are_asked_for_in_both_generations_of_names(web: Web, fields: dict[str, str]) -> None:
    web.service.answer = SPOKEN
    body = await transcribed(web, **fields)
    assert (web.service.asked.speakers, web.service.asked.hints) == (True, SpeakerHints(exactly=2))
    assert (body["speaker_labels"], body["speakers_expected"]) == (True, 2)
    assert body["warnings"] == []


async def test_a_range_of_speakers_is_passed_on(web: Web) -> None:
    await transcribed(web, speaker_labels="1", min_speakers="2", max_speakers_expected="4")
    assert web.service.asked.hints == SpeakerHints(None, 2, 4)


async def test_speakers_that_are_expected_but_not_asked_for_are_told_of(web: Web) -> None:
    body = await transcribed(web, speakers_expected="2")
    assert not web.service.asked.speakers
    assert [notice["message"] for notice in body["warnings"]] == ["speakers_expected has no effect here"]


async def test_prompt_hotwords_and_model_reach_the_service(web: Web) -> None:
    await transcribed(web, prompt="Chers amis", hotwords="Lexia", model="base", priority="high")
    asked = web.service.asked
    assert (asked.prompt, asked.hotwords, asked.model, asked.priority) == (
        "Chers amis",
        "Lexia",
        "base",
        "high",
    )


async def test_words_are_left_out_on_request(web: Web) -> None:
    await transcribed(web, word_timestamps="false")
    assert not web.service.asked.words


# ---- the object ----------------------------------------------------------------------------------


async def test_every_key_is_there_in_order_before_and_after(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web, webhook_url="http://example.org/hook", metadata='{"case": 7}')
    path = f"{TRANSCRIPTIONS}/{taken['id']}"
    await running(web, taken["id"])
    before = await look(web, path)
    assert list(before)[: len(KEYS)] == KEYS
    filled = {name: value for name, value in before.items() if value not in (None, [])}
    assert filled == {
        "id": taken["id"],
        "status": "processing",
        "audio_duration": 5,
        "language_code": "fr",
        "language_detection": False,
        "punctuate": True,
        "format_text": True,
        "speaker_labels": False,
        "webhook_url": "http://example.org/hook",
        "created_at": taken["created_at"],
        "metadata": {"case": 7},
    }
    web.service.may_answer.set()
    await ended(web, taken["id"])
    after = await look(web, path)
    assert list(after)[: len(KEYS)] == KEYS
    assert after["metadata"] == {"case": 7}
    assert MOMENT.fullmatch(after["completed_at"])


async def test_a_transcription_is_told_in_milliseconds_letters_and_with_every_word_once(web: Web) -> None:
    web.service.answer = DIALOGUE
    body = await transcribed(web, speaker_labels="true", speakers_expected="2")
    hello = {"text": "Bonjour", "start": 0, "end": 500, "confidence": 0.9, "speaker": "A"}
    to = {"text": "à", "start": 500, "end": 600, "confidence": 0.9, "speaker": "A"}
    all_ = {"text": "tous.", "start": 600, "end": 1234, "confidence": 0.6, "speaker": "A"}
    thanks = {"text": "Merci.", "start": 1500, "end": 2000, "confidence": 1.0, "speaker": "A"}
    yes = {"text": "Oui.", "start": 2290, "end": 3000, "confidence": 0.5, "speaker": "B"}
    del body["id"], body["created_at"], body["completed_at"]
    assert body == {
        "status": "completed",
        "audio_url": None,
        "audio_duration": 10,
        "text": "Bonjour à tous. Merci. Oui.",
        "words": [hello, to, all_, thanks, yes],
        "confidence": pytest.approx(0.78),
        "utterances": [
            {
                "speaker": "A",
                "start": 0,
                "end": 2000,
                "text": "Bonjour à tous. Merci.",
                "confidence": pytest.approx(0.85),
                "words": [hello, to, all_, thanks],
            },
            {"speaker": "B", "start": 2290, "end": 3000, "text": "Oui.", "confidence": 0.5, "words": [yes]},
        ],
        "language_code": "fr",
        "language_detection": False,
        "language_confidence": 0.98,
        "punctuate": True,
        "format_text": True,
        "speaker_labels": True,
        "speakers_expected": 2,
        "webhook_url": None,
        "webhook_status_code": None,
        "error": None,
        "segments": [
            {
                "id": number,
                "text": text,
                "start": start,
                "end": end,
                "confidence": pytest.approx(confidence),
                "words": None,
                "speaker": speaker,
                "language": None,
                "doubts": [],
            }
            for number, (text, start, end, confidence, speaker) in enumerate(
                [
                    ("Bonjour à tous.", 0, 1234, 0.8, "A"),
                    ("Merci.", 1500, 2000, 1.0, "A"),
                    ("Oui.", 2290, 3000, 0.5, "B"),
                ]
            )
        ],
        "speakers": ["A", "B"],
        "metadata": None,
        "languages": ["fr"],
        "warnings": [],
    }


async def test_the_twenty_seventh_speaker_is_aa(web: Web) -> None:
    names = [f"SPEAKER_{number:02}" for number in range(28)]
    web.service.answer = replace(
        DIALOGUE,
        segments=[
            Segment(id=number, start=number, end=number + 0.5, text=" Oui.", speaker=name)
            for number, name in enumerate(names)
        ],
        turns=[Turn(number, number + 0.5, name) for number, name in enumerate(names)],
    )
    body = await transcribed(web, speaker_labels="true")
    assert body["speakers"][:2] == ["A", "B"]
    assert body["speakers"][25:] == ["Z", "AA", "AB"]
    assert [utterance["speaker"] for utterance in body["utterances"]] == body["speakers"]
    assert body["utterances"][26]["text"] == "Oui."


async def test_without_speakers_there_are_neither_utterances_nor_speakers(web: Web) -> None:
    body = await transcribed(web)
    assert (body["utterances"], body["speakers"]) == (None, None)
    assert {word["speaker"] for word in body["words"]} == {None}
    assert [segment["start"] for segment in body["segments"]] == [4, 3000]


async def test_speakers_that_could_not_be_found_are_not_made_up(web: Web) -> None:
    web.service.answer = replace(TRANSCRIPT, warnings=[Notice("diarization_failed", "no speakers")])
    body = await transcribed(web, speaker_labels="true")
    assert body["utterances"] is None
    assert body["text"] == "Hello world. Good-bye."
    assert body["warnings"] == [{"code": "diarization_failed", "message": "no speakers"}]


async def test_silence_keeps_every_key(web: Web) -> None:
    web.service.answer = Transcript(duration=3.0)
    body = await transcribed(web, speaker_labels="true")
    assert list(body)[: len(KEYS)] == KEYS
    assert (body["text"], body["words"], body["utterances"], body["speakers"]) == ("", [], [], [])
    assert body["confidence"] is None


async def test_a_failed_job_makes_a_transcription_with_an_error(web: Web) -> None:
    web.service.error = MediaError("the file is no recording")
    body = await transcribed(web)
    assert (body["status"], body["error"], body["text"]) == ("error", "the file is no recording", None)
    assert MOMENT.fullmatch(body["completed_at"])


async def test_a_cancelled_job_makes_a_transcription_with_an_error(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    await running(web, taken["id"])
    assert (await web.client.delete(f"{JOBS}/{taken['id']}")).status == 204
    body = await look(web, f"{TRANSCRIPTIONS}/{taken['id']}")
    assert (body["status"], body["error"]) == ("error", "The job was cancelled.")
    assert web.service.cancelled == 1


async def test_the_text_so_far_is_there_on_request(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    await running(web, taken["id"])
    body = await look(web, f"{TRANSCRIPTIONS}/{taken['id']}", partial="true")
    assert (body["status"], body["text"]) == ("processing", "Hello world. Good-bye.")
    assert len(body["words"]) == 3
    assert body["completed_at"] is None


async def test_a_poll_waits_for_the_end(web: Web) -> None:
    taken = await submit(web)
    body = await look(web, f"{TRANSCRIPTIONS}/{taken['id']}", wait="30")
    assert body["status"] == "completed"


# ---- deletion ------------------------------------------------------------------------------------


async def test_a_deleted_transcription_is_gone_with_its_job_and_the_engine_is_free(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    path = f"{TRANSCRIPTIONS}/{taken['id']}"
    await running(web, taken["id"])
    response = await web.client.delete(path)
    assert (response.status, await response.read()) == (204, b"")
    assert (await web.client.get(path)).status == 404
    assert (await web.client.delete(path)).status == 404
    assert await look(web, JOBS) == []
    assert web.service.cancelled == 1
    assert not [path for path in web.live.current.paths.state.glob("jobs/recordings/**/*") if path.is_file()]


# ---- forms of text -------------------------------------------------------------------------------

TEXTS = {
    "txt": ("text/plain", "A: Bonjour à tous. Merci.\nB: Oui.\n"),
    "srt": (
        "application/x-subrip",
        (
            "1\n00:00:00,000 --> 00:00:01,235\nA: Bonjour à tous.\n\n"
            "2\n00:00:01,500 --> 00:00:02,000\nA: Merci.\n\n"
            "3\n00:00:02,290 --> 00:00:03,000\nB: Oui.\n"
        ),
    ),
    "vtt": (
        "text/vtt",
        (
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.235\n<v A>Bonjour à tous.\n\n"
            "00:00:01.500 --> 00:00:02.000\n<v A>Merci.\n\n"
            "00:00:02.290 --> 00:00:03.000\n<v B>Oui.\n"
        ),
    ),
    "rttm": (
        "text/x-rttm",
        (
            "SPEAKER talk 1 0.000 2.500 <NA> <NA> A <NA> <NA>\n"
            "SPEAKER talk 1 2.250 2.750 <NA> <NA> B <NA> <NA>\n"
        ),
    ),
}


@pytest.mark.parametrize("suffix", TEXTS)
@pytest.mark.parametrize("by", ["suffix", "accept"])
async def test_a_transcript_can_be_had_as_text(web: Web, suffix: str, by: str) -> None:
    web.service.answer = DIALOGUE
    taken = await transcribed(web, speaker_labels="true")
    content_type, text = TEXTS[suffix]
    path = f"{TRANSCRIPTIONS}/{taken['id']}"
    if by == "suffix":
        response = await web.client.get(f"{path}.{suffix}")
    else:
        response = await web.client.get(path, headers={"Accept": content_type})
    assert (response.status, response.content_type, await response.text()) == (200, content_type, text)


async def test_json_is_a_suffix_too_and_beats_accept(web: Web) -> None:
    shown = await transcribed(web)
    path = f"{TRANSCRIPTIONS}/{shown['id']}.json"
    response = await web.client.get(path, headers={"Accept": "text/plain"})
    assert await body_of(response) == shown


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/vtt;q=0.5, text/plain;q=0.9", "text/plain"),
        ("text/plain;q=0, text/vtt;q=0.1", "text/vtt"),
        ("image/png", "application/json"),
        ("text/plain;q=x", "application/json"),
        ("text/plain;q=nan, text/vtt;q=0.1", "text/vtt"),
        ("text/plain;q=inf, text/vtt;q=-1, text/srt;q= 0.5", "application/x-subrip"),
        ("text/plain;q=1e999, text/vtt;q=2, application/json;q=0.1", "application/json"),
    ],
)
async def test_the_form_that_is_liked_best_is_taken(web: Web, accept: str, content_type: str) -> None:
    shown = await transcribed(web)
    response = await web.client.get(f"{TRANSCRIPTIONS}/{shown['id']}", headers={"Accept": accept})
    assert (response.status, response.content_type) == (200, content_type)


async def test_text_that_is_not_there_yet_is_409_and_says_when_to_ask_again(web: Web) -> None:
    web.service.may_answer.clear()
    taken = await submit(web)
    response = await web.client.get(f"{TRANSCRIPTIONS}/{taken['id']}.txt")
    assert (await body_of(response, 409))["error"]["code"] == "no_result"
    assert int(response.headers["Retry-After"]) >= 1


async def test_text_that_will_never_be_there_is_409_for_good(web: Web) -> None:
    web.service.error = MediaError("the file is no recording")
    taken = await transcribed(web)
    response = await web.client.get(f"{TRANSCRIPTIONS}/{taken['id']}.srt")
    assert "failed" in (await body_of(response, 409))["error"]["message"]
    assert "Retry-After" not in response.headers


async def test_rttm_needs_speakers(web: Web) -> None:
    taken = await transcribed(web)
    response = await web.client.get(f"{TRANSCRIPTIONS}/{taken['id']}.rttm")
    assert (await body_of(response, 409))["error"]["code"] == "no_result"


async def test_another_suffix_is_no_path(web: Web) -> None:
    assert (await web.client.get(f"{TRANSCRIPTIONS}/{NOBODYS}.pdf")).status == 404


# ---- at once -------------------------------------------------------------------------------------


async def test_a_recording_can_be_answered_at_once_and_is_not_kept(web: Web) -> None:
    response = await web.client.post(f"{TRANSCRIPTIONS}/sync", data=form("audio", language_code="en"))
    body = await body_of(response)
    assert list(body)[: len(KEYS)] == KEYS
    assert (body["status"], body["text"], body["audio_duration"]) == ("completed", TRANSCRIPT.text, 5)
    assert (body["segments"], body["speakers"], body["utterances"]) == (None, None, None)
    assert len(body["words"]) == 3
    assert MOMENT.fullmatch(body["created_at"])
    assert MOMENT.fullmatch(body["completed_at"])
    assert (await web.client.get(f"{TRANSCRIPTIONS}/{body['id']}")).status == 404
    assert await look(web, JOBS) == []
    assert web.spooled() == []


async def test_speakers_can_be_told_apart_at_once_too(web: Web) -> None:
    web.service.answer = DIALOGUE
    response = await web.client.post(f"{TRANSCRIPTIONS}/sync", data=form("audio", speaker_labels="true"))
    body = await body_of(response)
    assert body["speakers"] == ["A", "B"]
    assert [utterance["text"] for utterance in body["utterances"]] == ["Bonjour à tous. Merci.", "Oui."]
