"""OpenAI's transcription endpoint: what it takes, what it refuses, and what it says has no effect."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import changed
from fake_service import RECORDING, Web, form, serving

from whisperd.config.live import Live
from whisperd.config.schema import Config
from whisperd.transcript.model import Detection, SpeakerHints

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


# ---- what is taken -------------------------------------------------------------------------------


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
        condition_on_previous_text="true",
        drop_doubted="1",
    )
    asked = web.service.asked
    assert asked.model == "tiny.en"
    assert asked.language == "de"
    assert asked.prompt == "Grüße,"
    assert asked.hotwords == "whisperd"
    assert asked.temperature == 0.5
    assert asked.speakers
    assert asked.hints == SpeakerHints(at_least=2, at_most=4)
    assert asked.condition_on_previous_text
    assert asked.drop_doubted


async def test_words_to_expect_come_in_two_ways(web: Web) -> None:
    await ask(web, hotwords="whisperd", **{"keywords[]": ["CTranslate2", "pyannote"]})
    assert web.service.asked.hotwords == "whisperd, CTranslate2, pyannote"


@pytest.mark.parametrize("name", ["languages[]", "languages"])
async def test_languages_to_choose_from_leave_the_language_open(web: Web, name: str) -> None:
    await ask(web, **{name: ["de", "English", "de"]})
    assert web.service.asked.language is None
    assert web.service.asked.languages == ("de", "en")


async def test_the_language_may_change_on_the_way_where_none_is_named(web: Web) -> None:
    assert "warnings" not in await ask(web, multilingual="true", language="auto")
    assert web.service.asked.multilingual
    body = await ask(web, multilingual="true", language="de")
    assert [notice["message"] for notice in body["warnings"]] == ["multilingual has no effect here"]
    assert "warnings" not in await ask(web, multilingual="false", language="de")


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


# ---- what is refused -----------------------------------------------------------------------------


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
        ({"multilingual": "perhaps"}, "multilingual", "true or false"),
        ({"condition_on_previous_text": "perhaps"}, "condition_on_previous_text", "true or false"),
        ({"drop_doubted": "perhaps"}, "drop_doubted", "true or false"),
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


# ---- what has no effect --------------------------------------------------------------------------


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
