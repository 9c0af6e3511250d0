"""OpenAI's list of models, and its translations."""

from collections.abc import AsyncIterator

import pytest
from fake_service import MIXED, RECORDING, TRANSCRIPT, Web, form, serving
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.errors import ParameterError
from whisperd.transcript.model import Notice

TRANSLATIONS = "/v1/audio/translations"


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        web.service.answer = replace(TRANSCRIPT, task="translate", language="de")
        yield web


# ---- models --------------------------------------------------------------------------------------


async def test_the_models_that_are_here_are_listed_the_configured_one_first(web: Web) -> None:
    body = await (await web.client.get("/v1/models")).json()
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["tiny.en", "base"]
    for model in body["data"]:
        assert set(model) == {"id", "object", "created", "owned_by"}
        assert model["object"] == "model"
        assert isinstance(model["created"], int)


@pytest.mark.parametrize("name", ["tiny.en", "base", "whisper-1", "gpt-4o-transcribe-diarize"])
async def test_a_model_is_shown_by_its_name_or_by_one_of_openais(web: Web, name: str) -> None:
    response = await web.client.get(f"/v1/models/{name}")
    assert response.status == 200
    assert (await response.json())["id"] == name


@pytest.mark.parametrize("name", ["large-v9", "gpt-4o", "whisper-2", "org/model"])
async def test_a_model_that_is_not_here_is_not_found(web: Web, name: str) -> None:
    response = await web.client.get(f"/v1/models/{name}")
    assert response.status == 404
    error = (await response.json())["error"]
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        "model",
        "model_not_found",
    )
    assert "tiny.en, base" in error["message"]


# ---- translations --------------------------------------------------------------------------------


async def test_a_translation_is_its_text(web: Web) -> None:
    response = await web.client.post(TRANSLATIONS, data=form())
    assert await response.json() == {"text": "Hello world. Good-bye."}
    assert web.service.recordings == [RECORDING]
    assert web.service.asked.task == "translate"
    assert web.service.asked.language is None


async def test_verbose_json_is_english_whatever_was_spoken(web: Web) -> None:
    body = await (await web.client.post(TRANSLATIONS, data=form(response_format="verbose_json"))).json()
    assert set(body) == {"task", "language", "duration", "text", "segments"}
    assert (body["task"], body["language"], body["duration"]) == ("translate", "english", 5.24)
    assert body["segments"][0]["avg_logprob"] == -0.25


@pytest.mark.parametrize(
    ("shape", "content_type", "start"),
    [
        ("text", "text/plain", "Hello world. Good-bye.\n"),
        ("srt", "application/x-subrip", "1\n00:00:00,004 -->"),
        ("vtt", "text/vtt", "WEBVTT\n\n00:00:00.004 -->"),
    ],
)
async def test_text_and_subtitles(web: Web, shape: str, content_type: str, start: str) -> None:
    response = await web.client.post(TRANSLATIONS, data=form(response_format=shape))
    assert response.content_type == content_type
    assert (await response.text()).startswith(start)


async def test_what_is_asked_for_reaches_the_service(web: Web) -> None:
    switches = dict.fromkeys(("multilingual", "condition_on_previous_text", "drop_doubted"), "true")
    data = form(model="base", prompt="Well,", temperature="0.5", **switches)
    await web.client.post(TRANSLATIONS, data=data)
    asked = web.service.asked
    assert (asked.model, asked.prompt, asked.temperature) == ("base", "Well,", 0.5)
    assert (asked.multilingual, asked.condition_on_previous_text, asked.drop_doubted) == (True, True, True)


async def test_its_segments_say_what_speaks_against_them_and_are_all_english(web: Web) -> None:
    web.service.answer = MIXED
    body = await (await web.client.post(TRANSLATIONS, data=form(response_format="verbose_json"))).json()
    assert [segment.get("doubts") for segment in body["segments"]] == [["repeated", "no_voice"], None]
    assert not any("language" in segment for segment in body["segments"])


async def test_what_translations_do_not_know_is_said(web: Web) -> None:
    response = await web.client.post(TRANSLATIONS, data=form(language="de", model="whisper-1"))
    assert (await response.json())["warnings"] == [
        {"code": "parameter_ignored", "message": "language has no effect here"}
    ]


async def test_warnings_come_along(web: Web) -> None:
    web.service.answer = replace(web.service.answer, warnings=[Notice("audio_truncated", "cut off")])
    for shape in ("json", "verbose_json"):
        body = await (await web.client.post(TRANSLATIONS, data=form(response_format=shape))).json()
        assert body["warnings"] == [{"code": "audio_truncated", "message": "cut off"}]


async def test_speakers_are_not_for_translations(web: Web) -> None:
    response = await web.client.post(TRANSLATIONS, data=form(response_format="diarized_json"))
    error = (await response.json())["error"]
    assert (response.status, error["param"]) == (400, "response_format")


async def test_a_model_that_cannot_translate_is_an_error_and_no_other_text(web: Web) -> None:
    web.service.error = ParameterError("tiny.en was not trained to translate", param="task")
    response = await web.client.post(TRANSLATIONS, data=form())
    error = (await response.json())["error"]
    assert (response.status, error["param"]) == (400, "task")
    assert "trained to translate" in error["message"]
