"""The language model's endpoints, between a real client and a server that does what a test wants."""

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
from fake_llm import MODEL, USAGE, WORDS, FakeLlm, Other, serving_llm
from fake_service import Web, serving
from keychain import make_key

from whisperd.access.usage import Use
from whisperd.config.live import Live
from whisperd.config.units import Duration, Size
from whisperd.egress import Egress, read
from whisperd.errors import StartError
from whisperd.llm import LanguageModels

CHAT = "/v1/chat/completions"
PROMPTS = "/v1/completions"
TALK: list[Any] = [{"role": "user", "content": "Sum it up: Ünïcode"}]


@pytest.fixture
async def llm() -> AsyncIterator[FakeLlm]:
    async with serving_llm() as llm:
        yield llm


@pytest.fixture
async def web(live: Live, llm: FakeLlm) -> AsyncIterator[Web]:
    live.current = changed(live.current, "llm", url=llm.url, models=(f"summaries={MODEL}", "small=phi"))
    async with serving(live) as web:
        yield web


@pytest.fixture
async def client(web: Web) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{web.url}v1", api_key="none", max_retries=0) as client:
        yield client


def set_llm(web: Web, **options: Any) -> None:
    web.live.current = changed(web.live.current, "llm", **options)


async def ask(web: Web, path: str = CHAT, **body: Any) -> tuple[int, Any]:
    response = await web.client.post(path, json={"model": "summaries", "messages": TALK} | body)
    return response.status, await response.json()


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


# ---- streams -------------------------------------------------------------------------------------


async def test_a_stream_is_one_of_events_that_nobody_keeps_back(web: Web) -> None:
    response = await web.client.post(CHAT, json={"model": "summaries", "stream": True})
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Accel-Buffering"] == "no"
    events = (await response.text()).split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert chunks[0]["usage"] is None, "nulls stay"
    assert chunks[-1]["usage"] == USAGE


async def events_of(web: Web, **body: Any) -> list[Any]:
    """The events of a stream, up to `[DONE]`."""
    response = await web.client.post(CHAT, json={"model": "summaries", "stream": True} | body)
    *events, done, rest = (await response.text()).split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"chunk": 1, "include_usage": None}])
async def test_who_does_not_ask_for_the_count_has_it_in_the_last_event_with_a_choice(
    web: Web, llm: FakeLlm, options: Any
) -> None:
    events = await events_of(web, stream_options=options)
    assert llm.asked[0].body["stream_options"] == (options or {}) | {"include_usage": True}
    assert [bool(event["choices"]) for event in events] == [True] * 4
    assert events[-1]["choices"][0]["finish_reason"] == "stop"
    assert [event["usage"] for event in events] == [None, None, None, USAGE]


async def test_who_asks_for_no_stream_is_asked_for_no_count(web: Web, llm: FakeLlm) -> None:
    for stream in ({}, {"stream": False}, {"stream": None}):
        await ask(web, **stream)
    assert all("stream_options" not in asked.body for asked in llm.asked)


async def test_options_that_are_none_are_for_the_server_to_refuse(web: Web, llm: FakeLlm) -> None:
    llm.other = Other(status=400, body=b'{"error":{"message":"no object"}}')
    assert (await ask(web, stream=True, stream_options=7))[0] == 400
    assert llm.asked[0].body["stream_options"] == 7
    body = b'{"model":"summaries","stream":true,"stream_options":{"\xff":1}}'
    response = await web.client.post(CHAT, data=body)
    assert (response.status, (await response.json())["error"]["code"]) == (503, "llm_service_error")


async def test_what_is_no_text_in_a_choice_is_passed_on(web: Web, llm: FakeLlm) -> None:
    llm.events = [b'data: {"choices":[{"\xff":1}]}\n\n']
    response = await web.client.post(CHAT, json={"model": "summaries", "stream": True})
    assert await response.read() == llm.events[0]


ENDS = {"choices": [{"index": 0, "finish_reason": "length"}]}
OTHER_ENDS = {"choices": [{"index": 1, "finish_reason": "stop"}]}
GOES_ON = {"choices": [{"index": 1, "text": "more"}]}
COUNT = {"choices": [], "usage": USAGE}
FILTERED: dict[str, Any] = {"choices": [], "prompt_filter_results": []}


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ([GOES_ON, ENDS], [GOES_ON, ENDS]),
        ([ENDS, GOES_ON, OTHER_ENDS, COUNT], [ENDS, GOES_ON, OTHER_ENDS | {"usage": USAGE}]),
        ([FILTERED, ENDS | {"usage": USAGE}], [FILTERED, ENDS | {"usage": USAGE}]),
        ([GOES_ON, COUNT], [GOES_ON]),
        (
            [{"choices": 3}, {"error": {"message": "broken"}}],
            [{"choices": 3}, {"error": {"message": "broken"}}],
        ),
    ],
)
@pytest.mark.parametrize("done", [[b"data: [DONE]\n\n"], []], ids=["done", "cut"])
async def test_a_stream_is_told_whole_wherever_the_count_stands(
    web: Web, llm: FakeLlm, sent: list[Any], told: list[Any], done: list[bytes]
) -> None:
    llm.events = [*(b"data: " + json.dumps(event).encode() + b"\n\n" for event in sent), *done]
    response = await web.client.post(PROMPTS, json={"model": "small", "prompt": "The", "stream": True})
    events = (await response.text()).split("\n\n")[: -1 - len(done)]
    assert [json.loads(event.removeprefix("data: ")) for event in events] == told


async def test_a_part_comes_as_soon_as_it_is_there(web: Web, llm: FakeLlm) -> None:
    llm.may_go_on.clear()
    response = await web.client.post(CHAT, json={"model": "summaries", "stream": True})
    assert b"They" in await response.content.readuntil(b"\n\n")
    llm.may_go_on.set()
    assert "[DONE]" in await response.text()


async def test_events_may_come_in_any_pieces(web: Web, llm: FakeLlm) -> None:
    large = json.dumps({"model": MODEL, "text": "ü" * 300_000}, ensure_ascii=False).encode()
    stream = b": comment\r\n\r\nevent: chunk\r\ndata:" + large + b"\r\n\r\ndata: [DONE]"
    llm.events = [stream[at : at + 9999] for at in range(0, len(stream), 9999)]
    response = await web.client.post(CHAT, json={"model": "summaries", "stream": True})
    first, done, rest = (await response.text()).split("\n\n")
    assert json.loads(first.removeprefix("data: ")) == {"model": "summaries", "text": "ü" * 300_000}
    assert (done, rest) == ("data: [DONE]", "")


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([b"data: {}\n\n", b"data: nonsense\n\n"], "no JSON"),
        ([b"data: {}\n\n", b"data: [1]\n\n"], "no JSON"),
        ([b"data: {}\n\n", b"data: " + b"x" * (5 * 2**20)], "without an end"),
    ],
)
async def test_what_is_no_event_ends_the_stream_with_an_error(
    web: Web, llm: FakeLlm, events: list[bytes], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    llm.events = events
    llm.may_go_on.clear()
    caplog.set_level(logging.INFO)
    response = await web.client.post(CHAT, json={"model": "summaries", "stream": True})
    assert await response.content.readuntil(b"\n\n") == b"data: {}\n\n"
    llm.may_go_on.set()
    [event, rest] = (await response.text()).split("\n\n")
    error = json.loads(event.removeprefix("data: "))["error"]
    assert (error["type"], error["code"], rest) == ("server_error", "llm_service_error", "")
    assert told in error["message"]
    await until(lambda: f"POST {CHAT} 503 failed" in caplog.text)


async def test_what_fails_before_the_first_event_has_its_status(web: Web, llm: FakeLlm) -> None:
    llm.events = [b"data: nonsense\n\n"]
    status, body = await ask(web, stream=True)
    assert (status, body["error"]["code"]) == (503, "llm_service_error")


# ---- a client that leaves ------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_the_servers_work(web: Web, llm: FakeLlm, stream: bool) -> None:
    llm.may_answer.clear()
    asking = asyncio.create_task(ask(web, stream=stream))
    await until(lambda: len(llm.asked) == 1)
    asking.cancel()
    await until(lambda: llm.left == 1)


async def test_so_does_one_that_leaves_in_the_middle_of_a_stream(web: Web, llm: FakeLlm) -> None:
    llm.may_go_on.clear()
    response = await web.client.post(CHAT, json={"model": "summaries", "stream": True})
    await response.content.readuntil(b"\n\n")
    response.close()
    await until(lambda: llm.left == 1)


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
