"""OpenAI's transcription endpoint: what each of its formats looks like."""

import base64
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import changed
from fake_service import MIXED, RECORDING, SPOKEN, Web, form, serving
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.config.schema import Config
from whisperd.transcript.model import Notice, Segment, Transcript, Word

PATH = "/v1/audio/transcriptions"
VOICE = "data:audio/wav;base64," + base64.b64encode(RECORDING).decode()


@pytest.fixture
async def web(config: Config) -> AsyncIterator[Web]:
    """OpenAI's endpoints by themselves."""
    async with serving(Live(changed(config, "api", dialects=("openai",)))) as web:
        yield web


async def ask(web: Web, **fields: str | list[str]) -> Any:
    """The JSON of a request that succeeds."""
    response = await web.client.post(PATH, data=form(**fields))
    body = await response.text()
    assert response.status == 200, body
    return json.loads(body)


async def test_json_is_the_default(web: Web) -> None:
    expected = {"text": "Hello world. Good-bye.", "usage": {"seconds": 5.24, "type": "duration"}}
    assert await ask(web) == expected
    assert await ask(web, response_format="json") == expected
    assert web.service.recordings == [RECORDING] * 2
    assert not web.service.requests[0].words
    assert not web.service.requests[0].speakers


async def test_json_has_the_language_where_it_was_asked_for(web: Web) -> None:
    for fields in ({"model": "gpt-transcribe"}, {"languages[]": ["de", "en"]}):
        assert (await ask(web, response_format="json", **fields))["languages"] == [{"code": "en"}]
    web.service.answer = MIXED
    body = await ask(web, response_format="json", multilingual="true")
    assert body["languages"] == [{"code": "en"}, {"code": "de"}]
    web.service.answer = Transcript(duration=1.0)
    assert (await ask(web, response_format="json", model="gpt-transcribe"))["languages"] == []


async def test_json_has_the_log_of_each_words_probability_on_demand(web: Web) -> None:
    body = await ask(web, **{"include[]": "logprobs"})
    assert [entry["token"] for entry in body["logprobs"]] == [" Hello", " world.", " Good-bye."]
    assert bytes(body["logprobs"][0]["bytes"]) == b" Hello"
    assert body["logprobs"][0]["logprob"] == pytest.approx(math.log(0.9))
    assert web.service.asked.words


async def test_a_word_without_probability_can_be_written(web: Web) -> None:
    word = Word(" well", 0.0, 1.0, 0.0)
    web.service.answer = Transcript(
        duration=1.0, segments=[Segment(id=0, start=0.0, end=1.0, text=" well", words=[word])]
    )
    body = await ask(web, **{"include[]": "logprobs"})
    assert body["logprobs"][0]["logprob"] < -20


async def test_text_is_plain(web: Web) -> None:
    response = await web.client.post(PATH, data=form(response_format="text"))
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert await response.text() == "Hello world. Good-bye.\n"


async def test_srt_and_vtt_are_subtitles(web: Web) -> None:
    response = await web.client.post(PATH, data=form(response_format="srt"))
    assert response.content_type == "application/x-subrip"
    assert (await response.text()).startswith("1\n00:00:00,004 --> 00:00:02,496\nHello world.\n\n2\n")
    response = await web.client.post(PATH, data=form(response_format="vtt"))
    assert response.content_type == "text/vtt"
    assert (await response.text()).startswith("WEBVTT\n\n00:00:00.004 --> 00:00:02.496\nHello world.\n\n")
    assert all(request.words for request in web.service.requests), "long cues are split between words"


async def test_verbose_json_has_segments_with_the_decoders_evidence(web: Web) -> None:
    body = await ask(web, response_format="verbose_json")
    assert set(body) == {"task", "language", "duration", "text", "segments", "usage"}
    assert body["task"] == "transcribe"
    assert body["language"] == "english"
    assert body["duration"] == 5.24
    assert body["segments"][0] == {
        "id": 0,
        "seek": 0,
        "start": 0.004,
        "end": 2.496,
        "text": " Hello world.",
        "tokens": [1, 2, 3],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 1.1,
        "no_speech_prob": 0.01,
    }


async def test_segments_say_what_speaks_against_them_and_which_language_is_another(web: Web) -> None:
    web.service.answer = MIXED
    body = await ask(web, response_format="verbose_json")
    assert body["language"] == "english"
    assert [segment.get("language") for segment in body["segments"]] == [None, "german"]
    assert [segment.get("doubts") for segment in body["segments"]] == [["repeated", "no_voice"], None]


async def test_diarized_segments_say_it_too_each_with_its_language_where_there_are_several(web: Web) -> None:
    web.service.answer = MIXED
    body = await ask(web, response_format="diarized_json")
    assert [segment["language"] for segment in body["segments"]] == ["english", "german"]
    assert [segment.get("doubts") for segment in body["segments"]] == [["repeated", "no_voice"], None]


@pytest.mark.parametrize("name", ["timestamp_granularities[]", "timestamp_granularities"])
async def test_words_come_where_their_times_are_asked_for(web: Web, name: str) -> None:
    body = await ask(web, response_format="verbose_json", **{name: "word"})
    assert body["words"][0] == {"word": "Hello", "start": 0.004, "end": 1.2}
    assert "segments" not in body
    assert web.service.asked.words


async def test_words_and_segments_come_together(web: Web) -> None:
    body = await ask(
        web, response_format="verbose_json", **{"timestamp_granularities[]": ["word", "segment"]}
    )
    assert len(body["words"]) == 3
    assert len(body["segments"]) == 2


async def test_diarized_json_calls_speakers_by_letters_as_they_come(web: Web) -> None:
    web.service.answer = SPOKEN
    body = await ask(web, response_format="diarized_json")
    assert web.service.asked.speakers
    assert body == {
        "task": "transcribe",
        "duration": 5.24,
        "text": "A: Hello world.\nB: Good-bye.",
        "segments": [
            {
                "type": "transcript.text.segment",
                "id": "seg_001",
                "start": 0.0,
                "end": 2.5,
                "text": "Hello world.",
                "speaker": "A",
            },
            {
                "type": "transcript.text.segment",
                "id": "seg_002",
                "start": 3.0,
                "end": 5.0,
                "text": "Good-bye.",
                "speaker": "B",
            },
        ],
        "usage": {"seconds": 5.24, "type": "duration"},
    }


async def test_known_speakers_have_their_names_and_the_others_letters(web: Web) -> None:
    known, stranger = SPOKEN.segments
    spoken = [
        replace(stranger, id=0, speaker="SPEAKER_01"),
        replace(known, id=1, speaker="A"),
        replace(stranger, id=2, speaker="SPEAKER_00"),
    ]
    web.service.answer = replace(SPOKEN, segments=spoken)
    body = await ask(
        web,
        response_format="diarized_json",
        **{"known_speaker_names[]": ["A", "agent"], "known_speaker_references[]": [VOICE, VOICE]},
    )
    assert [segment["speaker"] for segment in body["segments"]] == ["B", "A", "C"]
    assert [speaker.name for speaker in web.service.asked.known_speakers] == ["A", "agent"]
    assert web.service.voices == [RECORDING, RECORDING]


async def test_diarize_labels_words_and_segments_of_verbose_json(web: Web) -> None:
    web.service.answer = SPOKEN
    body = await ask(
        web,
        diarize="true",
        response_format="verbose_json",
        **{"timestamp_granularities[]": ["word", "segment"]},
    )
    assert [segment["speaker"] for segment in body["segments"]] == ["SPEAKER_01", "SPEAKER_00"]
    assert body["words"][0]["speaker"] == "SPEAKER_01"


async def test_silence_is_an_empty_transcript_in_every_format(web: Web) -> None:
    web.service.answer = Transcript(duration=1.0)
    assert (await ask(web))["text"] == ""
    verbose = await ask(web, response_format="verbose_json")
    assert (verbose["segments"], verbose["language"]) == ([], None)
    assert (await ask(web, response_format="diarized_json"))["segments"] == []
    for shape, expected in [("text", "\n"), ("srt", ""), ("vtt", "WEBVTT\n")]:
        response = await web.client.post(PATH, data=form(response_format=shape))
        assert await response.text() == expected


async def test_a_long_transcript_is_written_whole(web: Web) -> None:
    segments = [Segment(id=number, start=0.0, end=1.0, text=" word") for number in range(5000)]
    web.service.answer = Transcript(duration=9.0, segments=segments)
    body = await ask(web, response_format="verbose_json")
    assert [segment["id"] for segment in body["segments"]] == list(range(5000))


async def test_the_services_warnings_come_along_in_every_format(web: Web) -> None:
    web.service.answer = replace(SPOKEN, warnings=[Notice("diarization_failed", "no speakers")])
    for shape in ("json", "verbose_json", "diarized_json"):
        body = await ask(web, response_format=shape)
        assert body["warnings"] == [{"code": "diarization_failed", "message": "no speakers"}]
    for shape in ("text", "srt", "vtt"):
        response = await web.client.post(PATH, data=form(response_format=shape))
        assert response.headers["X-Whisperd-Warnings"] == "diarization_failed"
