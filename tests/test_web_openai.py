"""OpenAI's transcription endpoint: what it takes, and what each of its formats looks like."""

import base64
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import changed
from fake_service import RECORDING, SPOKEN, Web, form, serving
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.config.schema import Config
from whisperd.transcript.model import Detection, Notice, Segment, SpeakerHints, Transcript, Word

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


async def refusal(web: Web, **fields: str | list[str]) -> tuple[int, dict[str, str]]:
    response = await web.client.post(PATH, data=form(**fields))
    return response.status, (await response.json())["error"]


# ---- formats -------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("names", "references", "said"),
    [
        (["a"], [], "one for each"),
        ([], [VOICE], "one for each"),
        (["a", "a"], [VOICE, VOICE], "the same"),
        (["a", "b", "c", "d", "e"], [VOICE] * 5, "4"),
        (["a"], ["https://example.org/voice.wav"], "data URL"),
        (["a"], ["data:audio/wav;base64,%"], "base64"),
        (["a\nb"], [VOICE], "printable"),
    ],
)
async def test_known_speakers_come_by_name_and_voice(
    web: Web, names: list[str], references: list[str], said: str
) -> None:
    status, error = await refusal(
        web,
        response_format="diarized_json",
        **{"known_speaker_names[]": names, "known_speaker_references[]": references},
    )
    assert (status, error["code"]) == (400, "invalid_parameter")
    assert error["param"].startswith("known_speaker_")
    assert said in error["message"]


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


# ---- parameters ----------------------------------------------------------------------------------


async def test_every_parameter_reaches_the_service(web: Web) -> None:
    await ask(
        web,
        model="tiny.en",
        language="de",
        prompt="Grüße,",
        hotwords="whisperd",
        temperature="0.5",
        diarize="1",
        min_speakers="2",
        max_speakers="4",
    )
    asked = web.service.asked
    assert asked.model == "tiny.en"
    assert asked.language == "de"
    assert asked.prompt == "Grüße,"
    assert asked.hotwords == "whisperd"
    assert asked.temperature == 0.5
    assert asked.speakers
    assert asked.hints == SpeakerHints(at_least=2, at_most=4)


async def test_words_to_expect_come_in_two_ways(web: Web) -> None:
    await ask(web, hotwords="whisperd", **{"keywords[]": ["CTranslate2", "pyannote"]})
    assert web.service.asked.hotwords == "whisperd, CTranslate2, pyannote"


async def test_languages_to_choose_from_leave_the_language_open(web: Web) -> None:
    await ask(web, **{"languages[]": ["de", "English", "de"]})
    assert web.service.asked.language is None
    assert web.service.asked.languages == ("de", "en")


@pytest.mark.parametrize(
    ("fields", "detection"),
    [
        ({}, Detection()),
        ({"chunking_strategy": "auto"}, Detection()),
        (
            {"chunking_strategy": '{"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 700}'},
            Detection(threshold=0.4, min_silence_ms=700, padding_ms=300),
        ),
        (
            {"chunking_strategy[type]": "server_vad", "chunking_strategy[prefix_padding_ms]": "50"},
            Detection(threshold=0.5, min_silence_ms=200, padding_ms=50),
        ),
    ],
)
async def test_how_speech_is_found_can_be_told_in_all_ways_of_writing_it(
    web: Web, fields: dict[str, str], detection: Detection
) -> None:
    await ask(web, **fields)
    assert web.service.asked.detection == detection


async def test_fields_may_stand_before_and_behind_the_recording(web: Web) -> None:
    data = form(response_format="verbose_json")
    data._fields.reverse()
    response = await web.client.post(PATH, data=data)
    assert "segments" in await response.json()
    assert "segments" in await ask(web, response_format="verbose_json")


@pytest.mark.parametrize(
    ("sent", "code"),
    [("en", "en"), ("EN", "en"), ("English", "en"), ("haitian creole", "ht"), ("auto", "auto"), ("", None)],
)
async def test_a_language_goes_by_its_code_or_its_name(web: Web, sent: str, code: str | None) -> None:
    await ask(web, language=sent)
    assert web.service.asked.language == code


@pytest.mark.parametrize(
    "name",
    [
        "whisper-1",
        "gpt-transcribe",
        "gpt-4o-transcribe",
        "gpt-4o-transcribe-diarize",
        "gpt-4o-mini-transcribe-2025-12-15",
        "",
    ],
)
async def test_openais_models_stand_for_the_one_that_is_here(web: Web, name: str) -> None:
    await ask(web, model=name)
    assert web.service.asked.model is None


async def test_an_unknown_model_is_404_as_at_openai(web: Web) -> None:
    status, error = await refusal(web, model="large-v9")
    assert status == 404
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        "model",
        "model_not_found",
    )
    assert "large-v9" in error["message"]


@pytest.mark.parametrize(
    ("fields", "param", "allowed"),
    [
        ({"response_format": "xml"}, "response_format", "diarized_json"),
        ({"language": "klingon"}, "language", "auto or a language"),
        ({"temperature": "1.5"}, "temperature", "from 0 to 1"),
        ({"temperature": "nan"}, "temperature", "from 0 to 1"),
        ({"temperature": "warm"}, "temperature", "from 0 to 1"),
        ({"diarize": "perhaps"}, "diarize", "true or false"),
        ({"stream": "perhaps"}, "stream", "true or false"),
        ({"num_speakers": "0"}, "num_speakers", "from 1 to 50"),
        ({"num_speakers": "1_0"}, "num_speakers", "from 1 to 50"),
        ({"num_speakers": "²"}, "num_speakers", "from 1 to 50"),
        ({"min_speakers": "3", "max_speakers": "2"}, "min_speakers", "max_speakers (2)"),
        ({"num_speakers": "5", "max_speakers": "2"}, "num_speakers", "outside"),
        (
            {"response_format": "verbose_json", "timestamp_granularities[]": "letter"},
            "timestamp_granularities[]",
            "word, segment",
        ),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities[]", "verbose_json"),
        ({"include[]": "logprobs", "response_format": "text"}, "include[]", "json alone"),
        ({"include[]": "usage"}, "include[]", "logprobs"),
        ({"languages[]": ["de", "klingon"]}, "languages[]", "yue"),
        ({"chunking_strategy": "never"}, "chunking_strategy", "server_vad"),
        ({"chunking_strategy": '{"type": "server_vad", "threshold": 2}'}, "chunking_strategy", "<= 1"),
        ({"chunking_strategy[type]": "semantic_vad"}, "chunking_strategy", "server_vad"),
        ({"chunking_strategy[threshold]": "0.5"}, "chunking_strategy", "type"),
        ({"chunking_strategy": '{"type": "server_vad", "speed": 1}'}, "chunking_strategy", "speed"),
    ],
)
async def test_a_wrong_value_is_refused_with_what_is_allowed(
    web: Web, fields: dict[str, str], param: str, allowed: str
) -> None:
    status, error = await refusal(web, **fields)
    assert status == 400
    assert error["code"] == "invalid_parameter"
    assert error["param"] == param
    assert allowed in error["message"]
    assert web.service.requests == []


async def test_a_wrong_value_is_not_repeated_at_length(web: Web) -> None:
    _, error = await refusal(web, response_format="x" * 10_000)
    assert len(error["message"]) < 300


async def test_what_has_no_effect_is_said(web: Web) -> None:
    response = await web.client.post(
        PATH,
        data=form(
            stream="true",
            response_format="verbose_json",
            colour="red",
            language="en",
            **{"languages[]": "de", "known_speaker_names[]": "a", "known_speaker_references[]": VOICE},
        ),
    )
    body = await response.json()
    assert {notice["code"] for notice in body["warnings"]} == {"parameter_ignored"}
    said = " ".join(notice["message"] for notice in body["warnings"])
    for name in ("stream", "languages[]", "known_speaker_names[]", "known_speaker_references[]", "colour"):
        assert name in said
    assert response.headers["X-Whisperd-Warnings"] == "parameter_ignored"


async def test_hints_about_speakers_need_a_question_about_speakers(web: Web) -> None:
    body = await ask(web, num_speakers="2")
    assert [notice["message"] for notice in body["warnings"]] == ["num_speakers has no effect here"]
    assert "warnings" not in await ask(web, num_speakers="2", diarize="true")


async def test_what_was_switched_off_is_not_worth_a_warning(web: Web) -> None:
    assert "warnings" not in await ask(web, stream="false")


async def test_the_services_warnings_come_along_in_every_format(web: Web) -> None:
    web.service.answer = replace(SPOKEN, warnings=[Notice("diarization_failed", "no speakers")])
    for shape in ("json", "verbose_json", "diarized_json"):
        body = await ask(web, response_format=shape)
        assert body["warnings"] == [{"code": "diarization_failed", "message": "no speakers"}]
    for shape in ("text", "srt", "vtt"):
        response = await web.client.post(PATH, data=form(response_format=shape))
        assert response.headers["X-Whisperd-Warnings"] == "diarization_failed"
