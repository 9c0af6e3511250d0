"""The language model's endpoints, in streams: events as they come, the count, clients that leave."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import until
from conversing import CHAT, PROMPTS, ask, serving_in_front_of
from fake_llm import MODEL, USAGE, FakeLlm, Other, serving_llm
from fake_service import Web

from whisperd.config.live import Live


@pytest.fixture
async def llm() -> AsyncIterator[FakeLlm]:
    async with serving_llm() as llm:
        yield llm


@pytest.fixture
async def web(live: Live, llm: FakeLlm) -> AsyncIterator[Web]:
    async with serving_in_front_of(llm, live) as web:
        yield web


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
