"""A language model's server that answers what a test tells it to, in OpenAI's protocol, on the loopback."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy

MODEL: Final = "qwen2.5:7b"
USAGE: Final = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
WORDS: Final = ("They", " agreed", ".")


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    path: str
    body: Any
    headers: CIMultiDictProxy[str]


@dataclass(frozen=True, kw_only=True)
class Other:
    """What is answered instead."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] | None = None


class FakeLlm:
    """The server."""

    def __init__(self) -> None:
        self.url = ""
        """Its base URL."""
        self.asked: list[Asked] = []
        self.other: Other | None = None
        self.models: Other | None = None
        self.may_answer = asyncio.Event()
        """Before anything is answered."""
        self.may_answer.set()
        self.may_go_on = asyncio.Event()
        """After the first event of a stream."""
        self.may_go_on.set()
        self.breaks = False
        """Whether the connection ends after the first event of a stream."""
        self.events: list[bytes] | None = None
        """What a stream is made of, instead of WORDS."""
        self.left = 0
        """Requests whose client left before it had the answer."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        body = await request.json()
        self.asked.append(Asked(request.path, body, request.headers))
        try:
            await self.may_answer.wait()
            if self.other:
                return _response(self.other)
            if body.get("stream"):
                return await self._stream(request, body)
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            raise
        return web.json_response(_completion(request.path) | {"model": body.get("model"), "usage": USAGE})

    async def list(self, _: web.Request) -> web.Response:
        """Its models."""
        await self.may_answer.wait()
        if self.models:
            return _response(self.models)
        entry = {"id": MODEL, "object": "model", "created": 1, "owned_by": "vllm", "max_model_len": 32768}
        return web.json_response({"object": "list", "data": [entry, {"id": "phi:latest"}]})

    async def _stream(self, request: web.Request, body: Any) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for number, event in enumerate(_events(body) if self.events is None else self.events):
            await response.write(event)
            if number == 0:
                await self.may_go_on.wait()
                if self.breaks:
                    assert request.transport
                    request.transport.abort()
                    return response
        await response.write_eof()
        return response


def _completion(path: str) -> dict[str, Any]:
    if path.endswith("/chat/completions"):
        message = {"role": "assistant", "content": "".join(WORDS)}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "choices": [choice]}
    choice = {"index": 0, "text": "".join(WORDS), "finish_reason": "stop", "logprobs": None}
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "choices": [choice]}


def _events(body: Any) -> list[bytes]:
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    deltas: list[Any] = [[{"index": 0, "delta": {"content": word}, "finish_reason": None}] for word in WORDS]
    deltas.append([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    chunks = [chunk | {"choices": choices, "usage": None} for choices in deltas]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append(chunk | {"choices": [], "usage": USAGE})
    return [*(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks), b"data: [DONE]\n\n"]


def _response(other: Other) -> web.Response:
    return web.Response(
        status=other.status, body=other.body, content_type=other.content_type, headers=other.headers
    )


@contextlib.asynccontextmanager
async def serving_llm(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeLlm]:
    """Run one, on a free port of 127.0.0.1."""
    llm = FakeLlm()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/v1/chat/completions", llm.answer)
    app.router.add_post("/v1/completions", llm.answer)
    app.router.add_get("/v1/models", llm.list)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(access_log=None, ssl=tls)
    llm.url = str(server.make_url("/v1"))
    try:
        yield llm
    finally:
        llm.may_answer.set()
        llm.may_go_on.set()
        await server.close()
