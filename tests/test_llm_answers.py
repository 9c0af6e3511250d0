"""The language model's endpoints: what is passed on, what comes back, its list of models, its health."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp.test_utils import unused_port
from conftest import changed, until
from conversing import CHAT, PROMPTS, TALK, ask, serving_in_front_of, set_llm
from fake_llm import MODEL, WORDS, FakeLlm, Other, serving_llm
from fake_service import Web, serving
from keychain import make_key

from whisperd.access.usage import Use
from whisperd.config.live import Live
from whisperd.egress import Egress, read
from whisperd.errors import StartError
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


# ---- OpenAI's library ----------------------------------------------------------------------------


async def test_an_answer_comes_under_the_callers_name_for_the_model(
    client: openai.AsyncOpenAI, llm: FakeLlm
) -> None:
    reply = await client.chat.completions.create(model="summaries", messages=TALK)
    assert reply.choices[0].message.content == "They agreed."
    assert reply.model == "summaries"
    assert reply.usage
    assert reply.usage.total_tokens == 12
    [asked] = llm.asked
    assert (asked.path, asked.body["model"]) == (CHAT, MODEL)


async def test_a_stream_comes_under_the_callers_name_for_the_model(
    client: openai.AsyncOpenAI, llm: FakeLlm
) -> None:
    chunks = [
        chunk
        async for chunk in await client.chat.completions.create(
            model="summaries", messages=TALK, stream=True, stream_options={"include_usage": True}
        )
    ]
    assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices] == [*WORDS, None]
    assert {chunk.model for chunk in chunks} == {"summaries"}
    assert (chunks[-1].choices, bool(chunks[-1].usage)) == ([], True)
    assert llm.asked[0].body["stream_options"] == {"include_usage": True}


async def test_a_text_is_gone_on_with(client: openai.AsyncOpenAI, llm: FakeLlm) -> None:
    reply = await client.completions.create(model="small", prompt="The meeting")
    assert (reply.choices[0].text, reply.model) == ("They agreed.", "small")
    [asked] = llm.asked
    assert (asked.path, asked.body) == (PROMPTS, {"model": "phi", "prompt": "The meeting"})


async def test_a_stream_that_breaks_off_is_an_error(client: openai.AsyncOpenAI, llm: FakeLlm) -> None:
    llm.breaks = True
    stream = await client.chat.completions.create(model="summaries", messages=TALK, stream=True)
    assert (await anext(stream)).choices[0].delta.content == "They"
    with pytest.raises(openai.APIError, match="broke off"):
        await anext(stream)


async def test_a_model_that_is_not_there_is_told_with_those_that_are(
    client: openai.AsyncOpenAI, llm: FakeLlm
) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        await client.chat.completions.create(model="gpt-9", messages=TALK)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
    assert "summaries, small" in raised.value.message
    assert llm.asked == []


async def test_its_models_are_listed_behind_the_others(client: openai.AsyncOpenAI) -> None:
    listed = [model async for model in client.models.list()]
    assert [model.id for model in listed] == ["tiny.en", "base", "summaries", "small"]
    assert (await client.models.retrieve("small")).id == "small"


# ---- what is passed on ---------------------------------------------------------------------------


async def test_everything_but_the_models_name_is_passed_on_as_it_is(web: Web, llm: FakeLlm) -> None:
    sent: dict[str, Any] = {
        "temperature": 0.30000000000000004,
        "seed": 2**70,
        "tools": [{"type": "function", "function": {"name": "look"}}],
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}],
        "unknown": None,
    }
    assert (await ask(web, **sent))[0] == 200
    assert llm.asked[0].body == sent | {"model": MODEL}


async def test_a_conversation_may_hold_large_pictures(web: Web, llm: FakeLlm) -> None:
    text = "x" * (20 * 2**20)
    body = {"model": "summaries", "messages": [{"role": "user", "content": text}]}
    response = await web.client.post(CHAT, data=io.BytesIO(json.dumps(body).encode()))
    assert response.status == 200
    assert llm.asked[0].body["messages"][0]["content"] == text


async def test_a_conversation_at_the_older_path_is_one_all_the_same(web: Web, llm: FakeLlm) -> None:
    status, body = await ask(web, PROMPTS)
    assert (status, body["object"], body["model"]) == (200, "chat.completion", "summaries")
    assert llm.asked[0].path == CHAT


async def test_without_configured_names_they_are_the_servers_own(web: Web, llm: FakeLlm) -> None:
    set_llm(web, models=())
    _, body = await ask(web, model="phi")
    assert body["model"] == "phi"
    response = await web.client.post(CHAT, json={"messages": TALK})
    assert response.status == 200
    assert "model" not in llm.asked[1].body


async def test_the_server_gets_its_own_key_and_never_the_callers(
    live: Live, llm: FakeLlm, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.write_text("sk-upstream\n")
    live.current = changed(live.current, "llm", url=llm.url, key_file=path)
    async with serving(live) as web:
        mine = make_key(live.current)[1]
        response = await web.client.post(
            CHAT, json={"model": "phi"}, headers={"Authorization": f"Bearer {mine}", "Cookie": "a=b"}
        )
        assert response.status == 200
    headers = llm.asked[0].headers
    assert headers["Authorization"] == "Bearer sk-upstream"
    assert "Cookie" not in headers
    assert mine not in str(headers)


async def test_without_a_key_for_it_the_server_gets_none(web: Web, llm: FakeLlm) -> None:
    await web.client.post(CHAT, json={"model": "small"}, headers={"Authorization": "Bearer anything"})
    assert "Authorization" not in llm.asked[0].headers


def test_a_key_that_cannot_be_read_is_told_at_the_start(live: Live, tmp_path: Path) -> None:
    live.current = changed(live.current, "llm", key_file=tmp_path / "missing")
    with pytest.raises(StartError, match=r"llm\.key_file"):
        LanguageModels(live, Egress(read(live.current.fetch)))


async def test_no_proxy_of_the_environment_is_used(
    web: Web, llm: FakeLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    assert (await ask(web))[0] == 200
    assert len(llm.asked) == 1


async def test_tokens_are_noted_for_the_callers_usage(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    uses: list[Use] = []
    monkeypatch.setattr(web.gate.usage, "record", uses.append)
    await ask(web)
    response = await web.client.post(CHAT, json={"model": "summaries", "messages": TALK, "stream": True})
    await response.read()
    await until(lambda: len(uses) == 2)
    assert [(use.endpoint, use.tokens_in, use.tokens_out) for use in uses] == [(CHAT, 9, 3), (CHAT, 9, 3)]


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": "many"}, [1], "3"])
async def test_tokens_that_are_not_counted_are_none(
    web: Web, llm: FakeLlm, monkeypatch: pytest.MonkeyPatch, usage: Any
) -> None:
    uses: list[Use] = []
    monkeypatch.setattr(web.gate.usage, "record", uses.append)
    llm.other = Other(status=200, body=json.dumps({"model": MODEL, "usage": usage}).encode())
    assert await ask(web) == (200, {"model": "summaries", "usage": usage})
    await until(lambda: len(uses) == 1)
    assert (uses[0].tokens_in, uses[0].tokens_out) == (0, 0)


async def test_nothing_of_a_conversation_is_in_the_journal(
    web: Web, llm: FakeLlm, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await ask(web)
    llm.other = Other(status=400, body=b'{"error":{"message":"what is Sum it up"}}')
    await ask(web)
    assert "Sum it up" not in caplog.text


# ---- the list of models --------------------------------------------------------------------------


async def listed(web: Web) -> dict[str, Any]:
    body = await (await web.client.get("/v1/models")).json()
    return {model["id"]: model for model in body["data"]}


async def test_what_is_known_of_a_model_is_told(web: Web) -> None:
    models = await listed(web)
    assert models["summaries"] == {
        "id": "summaries",
        "object": "model",
        "created": models["tiny.en"]["created"],
        "owned_by": "vllm",
        "display_name": "summaries",
        "description": None,
        "context_length": 32768,
        "capabilities": ["chat", "completion"],
        "languages": None,
        "status": "available",
    }
    assert models["small"]["status"] == "available", "Ollama's default tag may be left out"
    assert models["small"]["context_length"] is None
    assert set(models["tiny.en"]) == {"id", "object", "created", "owned_by"}
    assert await (await web.client.get("/v1/models/summaries")).json() == models["summaries"]


@pytest.mark.parametrize(
    ("models", "status"),
    [
        (Other(status=503), "loading"),
        (Other(status=500), "unavailable"),
        (Other(status=200, body=b'{"data":[]}'), "unavailable"),
        (Other(status=200, body=b'{"data":null}'), "unavailable"),
        (Other(status=200, body=b'{"data":[3, {"id":[]}]}'), "unavailable"),
        (Other(status=200, body=b"nonsense"), "unavailable"),
        (Other(status=200, body=b"\xff"), "unavailable"),
    ],
)
async def test_a_model_that_cannot_be_asked_says_so(
    web: Web, llm: FakeLlm, models: Other, status: str
) -> None:
    llm.models = models
    assert (await listed(web))["summaries"]["status"] == status


async def test_without_configured_names_the_servers_are_listed(web: Web) -> None:
    set_llm(web, models=())
    assert list(await listed(web)) == ["tiny.en", "base", MODEL, "phi:latest"]
    set_llm(web, url=f"http://127.0.0.1:{unused_port()}/v1")
    assert list(await listed(web)) == ["tiny.en", "base"]


async def test_without_a_server_there_are_none(web: Web) -> None:
    set_llm(web, url="none")
    assert list(await listed(web)) == ["tiny.en", "base"]


# ---- health --------------------------------------------------------------------------------------


async def health(web: Web) -> Any:
    return (await (await web.client.get("/health")).json())["services"]["llm"]


async def test_health_tells_of_a_server_that_answers(web: Web) -> None:
    assert await health(web) == "healthy"


async def test_health_tells_of_a_server_that_does_not(web: Web) -> None:
    set_llm(web, url=f"http://127.0.0.1:{unused_port()}/v1")
    assert await health(web) == "unavailable"


async def test_health_does_not_trouble_the_server_each_time(web: Web, llm: FakeLlm) -> None:
    assert await health(web) == "healthy"
    llm.models = Other(status=500)
    assert await health(web) == "healthy"


async def test_health_waits_for_no_server(web: Web, llm: FakeLlm) -> None:
    llm.may_answer.clear()
    assert await asyncio.wait_for(health(web), 2.5) == "unavailable"
