"""One path, two families: what Reflector's clients and OpenAI's get of `/v1/audio/transcriptions`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp import ClientResponse, FormData
from conftest import changed, until
from fake_service import RECORDING, SPOKEN, Web, form, serving
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.config.schema import Config
from whisperd.errors import EngineError, MediaError, QueueFull, WorkerDied
from whisperd.transcript.model import Notice, Transcript

PATH = "/v1/audio/transcriptions"
SPACED = [
    {"word": " Hello", "start": 0.0, "end": 1.2},
    {"word": " world.", "start": 1.2, "end": 2.5},
    {"word": " Good-bye.", "start": 3.0, "end": 5.0},
]
ANSWER = {
    "text": "Hello world. Good-bye.",
    "words": SPACED,
    "filename": "talk.wav",
    "usage": {"seconds": 5.24, "type": "duration"},
}


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


def files(names: Sequence[str], field: str = "files", **fields: str) -> FormData:
    """A form of recordings that differ by their names."""
    data = FormData(quote_fields=False)
    for name in names:
        data.add_field(field, RECORDING + name.encode(), filename=name, content_type="audio/wav")
    for name, value in fields.items():
        data.add_field(name, value)
    return data


async def answer(response: ClientResponse) -> Any:
    body = await response.json()
    assert response.status == 200, body
    return body


async def asked(web: Web, data: FormData) -> ClientResponse:
    return await web.client.post(PATH, data=data)


async def words_of(web: Web, **fields: str | list[str]) -> list[str]:
    body = await answer(await web.client.post(PATH, data=form(**fields)))
    return [word["word"] for word in body["words"]]


# ---- one recording -------------------------------------------------------------------------------


async def test_who_asks_for_no_format_gets_what_both_families_read(web: Web) -> None:
    assert await answer(await web.client.post(PATH, data=form())) == ANSWER
    assert web.service.asked.words


async def test_who_asks_for_json_gets_openais_and_nothing_else(web: Web) -> None:
    body = await answer(await web.client.post(PATH, data=form(response_format="json")))
    assert set(body) == {"text", "usage"}
    assert not web.service.asked.words


@pytest.mark.parametrize("batch", ["true", "false", "1", "0"])
@pytest.mark.parametrize("field", ["files", "files[]"])
async def test_one_of_files_is_answered_as_one(web: Web, field: str, batch: str) -> None:
    data = files(["talk.wav"], field, batch=batch)
    assert await answer(await web.client.post(PATH, data=data)) == ANSWER


async def test_silence_has_a_list_of_no_words(web: Web) -> None:
    web.service.answer = Transcript(duration=3.0)
    body = await answer(await web.client.post(PATH, data=form()))
    assert (body["text"], body["words"]) == ("", [])
    live = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    assert (await answer(await web.client.post(PATH, data=form(**live))))["words"] == []


@pytest.mark.parametrize("name", ["C:\\talks\\talk.wav", "../../talk.wav", "talk.wav"])
async def test_the_name_is_the_clients_without_its_directories(web: Web, name: str) -> None:
    body = await answer(await web.client.post(PATH, data=files([name], "file")))
    assert body["filename"] == "talk.wav"


# ---- spaces --------------------------------------------------------------------------------------

WORDS_ALONE: dict[str, str | list[str]] = {
    "response_format": "verbose_json",
    "timestamp_granularities[]": "word",
}
WORDS_AND_SEGMENTS: dict[str, str | list[str]] = {
    "response_format": "verbose_json",
    "timestamp_granularities[]": ["word", "segment"],
}


async def test_words_that_reflectors_client_joins_keep_their_space(web: Web) -> None:
    assert "".join(await words_of(web, **WORDS_ALONE)) == " Hello world. Good-bye."
    assert await words_of(web, **WORDS_AND_SEGMENTS) == ["Hello", "world.", "Good-bye."]


@pytest.mark.parametrize(("spaces", "first"), [("always", " Hello"), ("never", "Hello")])
@pytest.mark.parametrize("fields", [{}, WORDS_ALONE, WORDS_AND_SEGMENTS])
async def test_the_configuration_can_decide_it_while_the_daemon_runs(
    web: Web, config: Config, fields: dict[str, str | list[str]], spaces: str, first: str
) -> None:
    web.live.current = changed(config, "api", word_spaces=spaces)
    assert (await words_of(web, **fields))[0] == first
    data = files(["a.wav", "b.wav"])
    results = (await answer(await web.client.post(PATH, data=data)))["results"]
    assert results[0]["words"][0]["word"] == first


async def test_without_reflector_everything_is_openais(config: Config) -> None:
    async with serving(Live(changed(config, "api", dialects=("openai",)))) as web:
        assert await words_of(web, **WORDS_ALONE) == ["Hello", "world.", "Good-bye."]
        body = await answer(await web.client.post(PATH, data=form(batch="false")))
        assert set(body) == {"text", "usage", "warnings"}, "batch is nothing that OpenAI knows"
        response = await web.client.post(PATH, data=files(["a.wav"]))
        assert (response.status, (await response.json())["error"]["param"]) == (400, "file")


async def test_without_openai_reflectors_clients_find_all_they_need(config: Config) -> None:
    async with serving(Live(changed(config, "api", dialects=("reflector",)))) as web:
        assert "".join(await words_of(web, **WORDS_ALONE)) == " Hello world. Good-bye."
        results = await answer(await web.client.post(PATH, data=files(["a.wav", "b.wav"])))
        assert len(results["results"]) == 2


# ---- several -------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [{}, {"batch": "true"}, {"batch": "false"}])
@pytest.mark.parametrize("field", ["files", "files[]"])
async def test_several_are_answered_in_the_order_they_came(
    web: Web, field: str, batch: dict[str, str]
) -> None:
    names = ["c.mp3", "a.wav", "b.webm"]
    body = await answer(await web.client.post(PATH, data=files(names, field, **batch)))
    assert body == {"results": [ANSWER | {"filename": name} for name in names]}
    assert sorted(web.service.recordings) == sorted(RECORDING + name.encode() for name in names)


async def test_several_are_worked_on_at_the_same_time(web: Web) -> None:
    web.service.may_answer.clear()
    asking = asyncio.create_task(asked(web, files(["a.wav", "b.wav", "c.wav"])))
    await until(lambda: len(web.service.requests) == 3)
    web.service.may_answer.set()
    assert len((await answer(await asking))["results"]) == 3


async def test_they_wait_where_others_are_refused_and_are_english_unless_said(web: Web) -> None:
    await answer(await web.client.post(PATH, data=files(["a.wav"])))
    await answer(await web.client.post(PATH, data=files(["a.wav"], language="de", prompt="Grüße,")))
    english, german = web.service.requests
    assert (english.patient, english.language) == (True, "en")
    assert (german.patient, german.language, german.prompt) == (True, "de", "Grüße,")
    await answer(await web.client.post(PATH, data=files(["a.wav"], multilingual="true")))
    assert (web.service.requests[-1].language, web.service.requests[-1].multilingual) == (None, True)


async def test_the_model_of_reflectors_own_server_stands_for_the_one_that_is_here(web: Web) -> None:
    body = await answer(await web.client.post(PATH, data=files(["a.wav"], model="large-v2")))
    assert web.service.asked.model is None
    assert "large-v2" in body["warnings"][0]["message"]
    body = await answer(await web.client.post(PATH, data=files(["a.wav"], model="base")))
    assert web.service.requests[-1].model == "base"
    assert "warnings" not in body


async def test_each_has_its_own_warnings(web: Web) -> None:
    web.service.answer = replace(SPOKEN, warnings=[Notice("audio_truncated", "cut off")])
    body = await answer(
        await web.client.post(PATH, data=files(["a.wav", "b.wav"], response_format="verbose_json"))
    )
    codes = [[notice["code"] for notice in result["warnings"]] for result in body["results"]]
    assert codes == [["parameter_ignored", "audio_truncated"]] * 2


async def test_file_is_taken_before_files(web: Web) -> None:
    data = files(["a.wav", "b.wav"], batch="true")
    data.add_field("file", RECORDING, filename="talk.wav")
    assert await answer(await web.client.post(PATH, data=data)) == ANSWER
    assert web.service.recordings == [RECORDING]


async def test_the_first_failure_ends_the_others(web: Web) -> None:
    web.service.may_answer.clear()
    web.service.late_error = WorkerDied("it died")
    asking = asyncio.create_task(asked(web, files(["a.wav", "b.wav", "c.wav"])))
    await until(lambda: len(web.service.requests) == 3)
    web.service.may_answer.set()
    response = await asking
    assert (response.status, await response.json()) == (500, {"detail": "it died"})
    await until(lambda: not web.spooled())


# ---- errors --------------------------------------------------------------------------------------


def text(**fields: str) -> FormData:
    data = FormData(default_to_multipart=True)
    for name, value in fields.items():
        data.add_field(name, value)
    return data


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (text(batch="false"), 400, "Either 'file' or 'files' parameter is required"),
        (form(batch="true"), 400, "Batch transcription requires 'files'"),
        (text(batch="true"), 400, "Batch transcription requires 'files'"),
        (files(["a.wav"], language="klingon"), 400, "yue"),
        (text(files="a.wav"), 400, "`files` came as text"),
    ],
)
async def test_reflectors_own_forms_have_reflectors_errors(
    web: Web, data: FormData, status: int, said: str
) -> None:
    response = await web.client.post(PATH, data=data)
    body = await response.json()
    assert response.status == status
    assert set(body) == {"detail"}
    assert said in body["detail"]


async def test_a_batch_that_is_no_boolean_is_told_as_fastapi_does(web: Web) -> None:
    response = await web.client.post(PATH, data=files(["a.wav"], batch="maybe"))
    assert response.status == 422
    [wrong] = (await response.json())["detail"]
    assert wrong["loc"] == ["body", "batch"]
    assert "true or false" in wrong["msg"]


async def test_an_empty_file_among_several_is_named(web: Web) -> None:
    data = files(["a.wav"])
    data.add_field("files", b"", filename="nothing.wav")
    response = await web.client.post(PATH, data=data)
    assert response.status == 400
    assert "nothing.wav" in (await response.json())["detail"]


@pytest.mark.parametrize("error", [MediaError("no recording"), QueueFull("too many"), EngineError("no")])
async def test_what_goes_wrong_inside_keeps_the_shape_of_who_asked(web: Web, error: EngineError) -> None:
    web.service.error = error
    response = await web.client.post(PATH, data=files(["a.wav"]))
    assert (response.status, await response.json()) == (error.status, {"detail": error.message})
    response = await web.client.post(PATH, data=form())
    assert (await response.json())["error"]["message"] == error.message


@pytest.mark.parametrize("data", [None, text(language="en"), text(file="talk.wav")])
async def test_requests_without_a_recording_are_refused_as_openai_does(
    web: Web, data: FormData | None
) -> None:
    response = await web.client.post(PATH, data=data)
    assert response.status == 400
    assert (await response.json())["error"]["code"] == "missing_file"
    response = await web.client.post(PATH, json={"language": "en"})
    assert response.status == 400


@pytest.mark.parametrize("name", ["talk.ogg", "talk.flac", "talk", "wav", "talk.txt"])
async def test_what_a_recording_is_called_decides_nothing(web: Web, name: str) -> None:
    body = await answer(await web.client.post(PATH, data=files([name])))
    assert body["filename"] == name


@pytest.mark.parametrize(("sent", "code"), [("nb", "no"), ("cmn", "zh"), ("pes", "fa"), ("jv", "jw")])
async def test_reflectors_language_codes_are_understood(web: Web, sent: str, code: str) -> None:
    await words_of(web, language=sent, **WORDS_ALONE)
    assert web.service.asked.language == code
