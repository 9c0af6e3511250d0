"""The language model's endpoints, when nothing comes of it: what is refused, too large, broken or late."""

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from aiohttp.test_utils import unused_port
from conftest import until
from conversing import CHAT, PROMPTS, TALK, ask, serving_in_front_of, set_llm
from fake_llm import FakeLlm, Other, serving_llm
from fake_service import Web
from keychain import make_key

from whisperd.config.live import Live
from whisperd.config.units import Duration, Size
from whisperd.egress import Egress, read
from whisperd.llm import LanguageModels


@pytest.fixture
async def llm() -> AsyncIterator[FakeLlm]:
    async with serving_llm() as llm:
        yield llm


@pytest.fixture
async def web(live: Live, llm: FakeLlm) -> AsyncIterator[Web]:
    async with serving_in_front_of(llm, live) as web:
        yield web


@pytest.fixture
async def client(web: Web) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{web.url}v1", api_key="none", max_retries=0) as client:
        yield client


# ---- what is refused -----------------------------------------------------------------------------


async def test_without_a_server_it_is_told_so(web: Web) -> None:
    set_llm(web, url="none")
    for path in (CHAT, PROMPTS):
        status, body = await ask(web, path)
        assert (status, body["error"]["code"]) == (404, "not_found")
        assert "llm.url" in body["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "invalid_request", None),
        (b"[]", 400, "invalid_parameter", None),
        (b"\xff", 400, "invalid_request", None),
        (b"[" * 100_000, 400, "invalid_parameter", None),
        (b'{"a":' * 100_000, 400, "invalid_request", None),
        (b"", 400, "missing_parameter", "model"),
        (b'{"messages":[]}', 400, "missing_parameter", "model"),
        (b'{"model":3}', 400, "invalid_parameter", "model"),
        (b'{"model":"\xff"}', 400, "invalid_parameter", "model"),
        (b'{"model":"x"}', 404, "model_not_found", "model"),
        (b" " * (33 * 2**20), 413, "file_too_large", None),
    ],
    ids=range(11),
)
async def test_bodies_that_are_none(
    web: Web, llm: FakeLlm, body: bytes, status: int, code: str, param: str | None
) -> None:
    response = await web.client.post(CHAT, data=io.BytesIO(body))
    error = (await response.json())["error"]
    assert (response.status, error["code"], error["param"]) == (status, code, param)
    assert llm.asked == []


# ---- how much is taken of it ---------------------------------------------------------------------


async def test_an_answer_that_is_too_large_is_told_so(web: Web, llm: FakeLlm) -> None:
    set_llm(web, answer=Size("1MiB"))
    llm.other = Other(status=200, body=json.dumps({"choices": "x" * 2**20}).encode())
    status, body = await ask(web)
    assert (status, body["error"]["code"]) == (503, "llm_service_error")
    assert "more than 1MiB" in body["error"]["message"]
    assert "`llm.answer`" in body["error"]["message"]


async def test_a_stream_that_does_not_end_is_broken_off_with_an_error(
    client: openai.AsyncOpenAI, web: Web, llm: FakeLlm
) -> None:
    set_llm(web, answer=Size("1MiB"))
    chunk = {"id": "1", "object": "chat.completion.chunk", "choices": [], "padding": "x" * 2**16}
    llm.events = [b"data: " + json.dumps(chunk).encode() + b"\n\n"] * 1000
    stream = await client.chat.completions.create(model="summaries", messages=TALK, stream=True)
    came: list[Any] = []

    async def read_on() -> None:
        async for chunk in stream:
            came.append(chunk)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(openai.APIError, match="more than 1MiB"):
        await read_on()
    assert 0 < len(came) < 16
    await until(lambda: llm.left == 1)


async def test_an_answer_of_just_that_size_is_passed_on(web: Web, llm: FakeLlm) -> None:
    llm.other = Other(status=200, body=b'{"choices":[]}')
    set_llm(web, answer=Size("14B"))
    assert await ask(web) == (200, {"choices": []})


async def test_a_list_of_models_that_is_too_large_counts_as_none(web: Web) -> None:
    set_llm(web, answer=Size("100B"))
    models = LanguageModels(web.live, Egress(read(web.live.current.fetch)))
    assert [model.status for model in await models.models()] == ["unavailable", "unavailable"]
    await models.aclose()


async def test_the_keys_permission_is_needed(web: Web, llm: FakeLlm) -> None:
    key = make_key(web.live.current, permissions=("stt", "jobs"))[1]
    response = await web.client.post(CHAT, json={"model": "small"}, headers={"Authorization": key})
    assert response.status == 403
    assert llm.asked == []


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (
            400,
            {"error": {"message": "too long", "type": "t", "param": "messages", "code": "context_length"}},
            ("too long", "t", "messages", "context_length"),
        ),
        (
            404,
            {
                "object": "error",
                "message": "no such model",
                "type": "NotFoundError",
                "param": None,
                "code": 404,
            },
            ("no such model", "NotFoundError", None, "model_not_found"),
        ),
        (
            404,
            {"error": "model 'x' not found"},
            ("model 'x' not found", "invalid_request_error", None, "model_not_found"),
        ),
        (422, {"detail": "bad"}, ("bad", "invalid_request_error", None, None)),
        (
            429,
            {"error": {"message": "slow down"}},
            ("slow down", "requests", None, "rate_limit_exceeded"),
        ),
    ],
)
async def test_what_the_server_refuses_is_told_in_openais_shape(
    web: Web, llm: FakeLlm, status: int, body: Any, told: tuple[Any, ...]
) -> None:
    llm.other = Other(status=status, body=json.dumps(body).encode(), headers={"Retry-After": "7"})
    for stream in (True, False):
        response = await web.client.post(CHAT, json={"model": "summaries", "stream": stream})
        error = dict(zip(("message", "type", "param", "code"), told, strict=True))
        assert (response.status, await response.json()) == (status, {"error": error})
        assert response.headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    "other",
    [
        Other(status=500, body=b'{"error":{"message":"/srv/models is broken"}}'),
        Other(status=503),
        Other(status=302, headers={"Location": "/elsewhere"}),
        Other(status=401, body=b'{"error":{"message":"wrong key"}}'),
        Other(status=404, body=b"<html>", content_type="text/html"),
        Other(status=400, body=b"[" * 100_000),
        Other(status=200, body=b"<html>", content_type="text/html"),
        Other(status=200, body=b"[1]"),
    ],
    ids=lambda other: f"{other.status}-{other.content_type}-{len(other.body)}",
)
async def test_other_failures_are_the_servers(web: Web, llm: FakeLlm, other: Other) -> None:
    llm.other = other
    response = await web.client.post(CHAT, json={"model": "summaries"})
    error = (await response.json())["error"]
    assert (response.status, error["type"], error["code"]) == (503, "server_error", "llm_service_error")
    assert response.headers["Retry-After"] == "5"
    assert "/srv" not in error["message"]


async def test_a_server_that_is_down_is_told_so_and_named_in_the_journal_alone(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    port = unused_port()
    set_llm(web, url=f"http://127.0.0.1:{port}/v1")
    status, body = await ask(web)
    assert (status, body["error"]["code"]) == (503, "llm_service_error")
    assert str(port) not in body["error"]["message"]
    assert str(port) in caplog.text


@pytest.mark.parametrize("stream", [True, False])
async def test_a_server_that_says_nothing_is_given_up(web: Web, llm: FakeLlm, stream: bool) -> None:
    set_llm(web, timeout=Duration("100ms"))
    llm.may_answer.clear()
    status, body = await ask(web, stream=stream)
    assert (status, body["error"]["code"]) == (503, "llm_service_error")
    assert "in time" in body["error"]["message"]
    await until(lambda: llm.left == 1)
