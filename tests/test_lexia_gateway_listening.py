"""Lexia's gateway: how to listen can be said with a job too, is kept with it, and its result tells of it."""

from typing import Any

import pytest
from fake_service import MIXED, RECORDING, form, serving
from gateway import THERE, TRANSCRIPTIONS, body_of, ended, fileless, look, running, submit

from whisperd.config.live import Live

FLAGS = ("multilingual", "condition_on_previous_text", "drop_doubted")
LANGUAGES = ["de", "English", "de"]


def requests() -> list[Any]:
    """The same wishes as a form of several parts, as a plain form, and as JSON."""
    parts = fileless(audio_url=THERE, **dict.fromkeys(FLAGS, "true"))
    for language in LANGUAGES:
        parts.add_field("languages[]", language)
    pairs = [
        ("audio_url", THERE),
        *((name, "1") for name in FLAGS),
        *(("languages", one) for one in LANGUAGES),
    ]
    body = {"audio_url": THERE, "languages": LANGUAGES, **dict.fromkeys(FLAGS, True)}
    return [{"data": parts}, {"data": pairs}, {"json": body}]


@pytest.mark.parametrize("sent", requests(), ids=["multipart", "urlencoded", "json"])
async def test_how_to_listen_reaches_the_service_and_outlives_a_restart(live: Live, sent: Any) -> None:
    async with serving(live) as web:
        web.service.may_answer.clear()
        web.fetcher.files[THERE] = RECORDING
        taken = await body_of(await web.client.post(TRANSCRIPTIONS, **sent), 202)
        await running(web, taken["id"])
    async with serving(live) as web:
        await ended(web, taken["id"])
        asked = web.service.asked
    assert (asked.language, asked.languages) == ("auto", ("de", "en"))
    assert (asked.multilingual, asked.condition_on_previous_text, asked.drop_doubted) == (True, True, True)


async def test_it_can_be_said_where_the_answer_comes_at_once_too(live: Live) -> None:
    async with serving(live) as web:
        fields = {"languages[]": "de", "drop_doubted": "true"}
        await body_of(await web.client.post(f"{TRANSCRIPTIONS}/sync", data=form("audio", **fields)))
        asked = web.service.asked
    assert (asked.language, asked.languages, asked.drop_doubted) == ("auto", ("de",), True)


@pytest.mark.parametrize(
    ("fields", "language", "unheard"),
    [
        ({"languages[]": "en"}, "auto", []),
        ({"multilingual": "true"}, "auto", []),
        ({"multilingual": "false"}, "fr", []),
        ({"multilingual": "true", "language_code": "auto"}, "auto", []),
        (
            {"multilingual": "true", "languages": "en", "language_code": "de"},
            "de",
            ["languages[]", "multilingual"],
        ),
    ],
)
async def test_a_named_language_stands_and_others_are_detected(
    live: Live, fields: dict[str, str], language: str, unheard: list[str]
) -> None:
    async with serving(live) as web:
        taken = await submit(web, **fields)
        await ended(web, taken["id"])
        shown = await look(web, f"{TRANSCRIPTIONS}/{taken['id']}")
        assert web.service.asked.language == language
    assert [notice["message"] for notice in shown["warnings"]] == [
        f"{name} has no effect here" for name in unheard
    ]


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"data": {"audio_url": THERE, "languages[]": "tlh"}}, "languages[]"),
        ({"json": {"audio_url": THERE, "languages": ["en", "tlh"]}}, "languages[]"),
        ({"json": {"audio_url": THERE, "languages": "en"}}, "languages[]"),
        ({"data": {"audio_url": THERE, "multilingual": "perhaps"}}, "multilingual"),
        ({"data": {"audio_url": THERE, "drop_doubted": "2"}}, "drop_doubted"),
        ({"json": {"audio_url": THERE, "condition_on_previous_text": "yes"}}, "condition_on_previous_text"),
    ],
)
async def test_what_is_wrong_is_refused_by_its_name(live: Live, sent: Any, param: str) -> None:
    async with serving(live) as web:
        error = (await body_of(await web.client.post(TRANSCRIPTIONS, **sent), 422))["error"]
    assert error["param"] == param


async def test_doubts_and_languages_are_told_with_the_result(live: Live) -> None:
    async with serving(live) as web:
        web.service.answer = MIXED
        web.service.may_answer.clear()
        taken = await submit(web, multilingual="true")
        path = f"{TRANSCRIPTIONS}/{taken['id']}"
        await running(web, taken["id"])
        before = await look(web, path, partial="true")
        web.service.may_answer.set()
        await ended(web, taken["id"])
        shown = await look(web, path)
    assert before["languages"] is None
    assert [segment["doubts"] for segment in before["segments"]] == [["repeated", "no_voice"], []]
    assert shown["languages"] == ["en", "de"]
    assert [segment["language"] for segment in shown["segments"]] == [None, "de"]
    assert [segment["doubts"] for segment in shown["segments"]] == [["repeated", "no_voice"], []]
    assert [notice["code"] for notice in shown["warnings"]] == ["text_doubted"]
