"""Paths that dialects share, and which dialects are served."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp import FormData
from conftest import changed
from fake_service import RECORDING, Web, form, serving
from openapi_spec_validator import validate
from yarl import URL

from whisperd.config.live import Live
from whisperd.config.schema import DIALECTS
from whisperd.web.crossroads import LIKELY, NO, PERHAPS, SURELY, Sent
from whisperd.web.dialects import flask, lexia, lexia_diarization, werify

PATH = "/transcribe"
KEYS = {"werify": "queue_wait_time", "flask": "metadata", "lexia": "language_confidence"}
"""What only one dialect's reply has."""


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


def multipart(carrier: str | None = None, **fields: str) -> FormData:
    data = FormData(fields)
    data._is_multipart = True
    if carrier:
        data.add_field(carrier, RECORDING, filename="talk.wav")
    return data


def of(dialects: Sequence[str], live: Live) -> Live:
    live.current = changed(live.current, "api", dialects=tuple(dialects))
    return live


def spoken(body: Any) -> str:
    [dialect] = [name for name, key in KEYS.items() if key in body]
    return dialect


# ---- who is spoken to ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("carrier", "query", "fields", "dialect"),
    [
        ("file", {}, {}, "werify"),
        ("files", {}, {}, "werify"),
        ("file", {"language": "en"}, {"use_gpu": "true"}, "werify"),
        ("audio", {}, {}, "flask"),
        ("audio", {}, {"use_gpu": "true", "language": "auto"}, "flask"),
        ("audio", {"x": "y"}, {"model": "base"}, "flask"),
        ("audio", {"language": "en"}, {}, "lexia"),
        ("audio", {"word_timestamps": "false"}, {}, "lexia"),
    ],
)
async def test_what_is_sent_says_who_is_spoken_to(
    web: Web, carrier: str, query: dict[str, str], fields: dict[str, str], dialect: str
) -> None:
    response = await web.client.post(PATH, data=multipart(carrier, **fields), params=query)
    assert response.status == 200
    assert spoken(await response.json()) == dialect
    metrics = await (await web.client.get("/metrics")).text()
    assert f'whisperd_requests_total{{dialect="{dialect}",outcome="ok",status="200"}} 1.0' in metrics


@pytest.mark.parametrize(
    ("served", "carrier", "query", "dialect"),
    [
        (["flask"], "audio", {"language": "en"}, "flask"),
        (["lexia"], "audio", {}, "lexia"),
        (["werify"], "file", {}, "werify"),
        (["werify", "lexia"], "audio", {}, "lexia"),
        (["werify", "flask"], "audio", {"language": "en"}, "flask"),
        (["flask", "lexia"], "audio", {}, "flask"),
    ],
)
async def test_only_dialects_that_are_served_take_part(
    live: Live, served: list[str], carrier: str, query: dict[str, str], dialect: str
) -> None:
    async with serving(of(served, live)) as web:
        response = await web.client.post(PATH, data=multipart(carrier), params=query)
        assert response.status == 200
        assert spoken(await response.json()) == dialect


# ---- whose shape an error has --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "query", "status", "body"),
    [
        (multipart(use_gpu="true"), {}, 400, {"error": "No audio file provided."}),
        (multipart(audio="talk.wav"), {}, 400, {"error": "No audio file provided."}),
    ],
)
async def test_an_error_before_the_recording_is_told_in_the_likeliest_shape(
    web: Web, data: FormData, query: dict[str, str], status: int, body: Any
) -> None:
    response = await web.client.post(PATH, data=data, params=query)
    assert (response.status, await response.json()) == (status, body)


@pytest.mark.parametrize("data", [None, b"x", multipart(colour="red"), multipart(file="talk.wav")])
async def test_where_nothing_says_more_it_is_the_first_dialects(web: Web, data: Any) -> None:
    response = await web.client.post(PATH, data=data)
    assert response.status == 422
    [wrong] = (await response.json())["detail"]
    assert (wrong["type"], wrong["loc"]) == ("missing", ["body", "file"])


async def test_a_recording_as_text_with_options_in_the_query_is_told_as_lexia_does(web: Web) -> None:
    response = await web.client.post(PATH, data=multipart(audio="talk.wav"), params={"language": "en"})
    assert response.status == 422
    [wrong] = (await response.json())["detail"]
    assert wrong["loc"] == ["body", "audio"]


async def test_two_recordings_are_one_too_many(web: Web) -> None:
    data = multipart("file")
    data.add_field("audio", RECORDING, filename="b.wav")
    response = await web.client.post(PATH, data=data)
    assert response.status == 400
    assert "more than one" in (await response.json())["detail"]


@pytest.mark.parametrize(
    ("sent", "werifys", "flasks", "lexias"),
    [
        (Sent(query=frozenset(), is_form=False), PERHAPS, NO, NO),
        (Sent(query=frozenset(), is_form=True, fields=frozenset({"use_gpu"})), PERHAPS, LIKELY, NO),
        (Sent(query=frozenset(), is_form=True, files=frozenset({"audio"})), PERHAPS, LIKELY, LIKELY),
        (Sent(query=frozenset({"x"}), is_form=True, files=frozenset({"audio"})), PERHAPS, LIKELY, SURELY),
        (Sent(query=frozenset(), is_form=True, files=frozenset({"file"})), SURELY, NO, NO),
    ],
)
def test_each_dialect_tells_how_much_a_request_is_like_its_own(
    sent: Sent, werifys: int, flasks: int, lexias: int
) -> None:
    found = [way.likeness(sent) for way in (werify.TRANSCRIBE, flask.TRANSCRIBE, lexia.TRANSCRIBE)]
    assert found == [werifys, flasks, lexias]


def test_a_form_is_likelier_a_diarization_than_none() -> None:
    with_form, without = (Sent(query=frozenset(), is_form=is_form) for is_form in (True, False))
    likeness = lexia_diarization.DIARIZE.likeness
    assert likeness(with_form) > likeness(without)


# ---- which dialects are served -------------------------------------------------------------------

PATHS = {
    "openai": {"/v1/audio/transcriptions"},
    "werify": {"/transcribe", "/transcribe/batch", "/transcribe/url", "/queue/status"},
    "flask": {
        "/transcribe",
        "/healthz",
        "/gpu/status",
        "/download/{name}",
        "/whisper/unload",
        "/diarization/unload",
    },
    "lexia": {"/transcribe", "/diarize"},
}
ALWAYS = {
    "/health",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/v1/audio/diarization",
}


@pytest.mark.parametrize("dialect", [*PATHS, None])
async def test_paths_of_other_dialects_do_not_exist(live: Live, dialect: str | None) -> None:
    async with serving(of([dialect] if dialect else [], live)) as web:
        document = await (await web.client.get("/openapi.json")).json()
        validate(document)
        described = set(document["paths"])
        mine = PATHS[dialect] if dialect else set()
        assert ALWAYS | mine <= described
        others = {path for name in DIALECTS for path in PATHS.get(name, ())} - mine
        assert not others & described
        for path in others:
            response = await web.client.post(path.replace("{name}", "x"), data=form())
            assert response.status == 404


async def test_the_shared_path_is_described_once_for_all_who_meet_there(web: Web) -> None:
    document = await (await web.client.get("/openapi.json")).json()
    operation = document["paths"][PATH]["post"]
    assert operation["tags"] == ["werify", "flask", "lexia"]
    forms = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["anyOf"]
    assert [set(form["properties"]) & {"file", "audio"} for form in forms] == [{"file"}, {"audio"}, {"audio"}]
    content = operation["responses"]["200"]["content"]["application/json"]
    assert len(content["schema"]["anyOf"]) == 3
    assert len(content["examples"]) == 3
    names = [parameter["name"] for parameter in operation["parameters"]]
    assert len(names) == len(set(names))


# ---- doubled slashes -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["//v1/audio/diarization", "/v1//audio///diarization"])
async def test_doubled_slashes_are_single_ones(web: Web, path: str) -> None:
    url = URL(web.url).with_path(path, encoded=True)
    response = await web.client.session.post(url, data=form())
    assert response.status == 200
    response = await web.client.session.get(url)
    assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert "error" in await response.json()


async def test_what_is_not_there_is_not_there_with_more_slashes(web: Web) -> None:
    url = URL(web.url).with_path("//v1//nothing", encoded=True)
    assert (await web.client.session.get(url)).status == 404


async def test_a_captured_name_is_found_behind_doubled_slashes(web: Web) -> None:
    url = URL(web.url).with_path("//download//x", encoded=True)
    response = await web.client.session.get(url)
    assert (response.status, await response.json()) == (404, {"error": "File not found."})


async def test_a_query_may_hold_a_presigned_url_or_a_long_text(web: Web) -> None:
    response = await web.client.post(
        "/transcribe", data=form(), params={"language": "en", "x": "y" * 100_000}
    )
    assert response.status == 200
