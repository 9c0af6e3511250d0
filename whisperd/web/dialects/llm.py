"""Chats and completions: passed on to the language model's server, and its answer back.

Nothing is changed on the way but the model's name, where it is mapped, and that tokens are always counted.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Raw, Struct, UnsetType

from whisperd.errors import ParameterError, UpstreamFailed
from whisperd.llm import Answer
from whisperd.web.bodies import read_json
from whisperd.web.dialects import llm_examples as examples
from whisperd.web.dialects.llm_errors import refusal
from whisperd.web.dialects.llm_tokens import Folding, Part, Tokens, counting
from whisperd.web.dialects.openai_errors import DIALECT, error_body
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.keys import EXCHANGE, LLM
from whisperd.web.sse import Events, beating

MAX_BODY_BYTES: Final = 32 * 2**20
"""Conversations may hold pictures."""
_DONE: Final = b"[DONE]"


class Chat(Struct, frozen=True, kw_only=True):
    """A conversation, with any other parameter that the language model's server knows."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool | UnsetType = UNSET


class Prompt(Struct, frozen=True, kw_only=True):
    """A text to go on with, or a conversation as for `/v1/chat/completions`."""

    model: str
    prompt: str | list[Any] | UnsetType = UNSET
    messages: list[dict[str, Any]] | UnsetType = UNSET
    stream: bool | UnsetType = UNSET


async def chat(request: web.Request) -> web.StreamResponse:
    """Pass a conversation on. Raises UnknownRoute, UnknownModel, UpstreamFailed, and as `read_json` does."""
    return await _pass_on(request, "chat/completions", await _read(request))


async def complete(request: web.Request) -> web.StreamResponse:
    """Pass a text on, or a conversation, as Lexia's clients send it here. Raises as `chat` does."""
    body = await _read(request)
    return await _pass_on(request, "chat/completions" if "messages" in body else "completions", body)


async def _read(request: web.Request) -> dict[str, Raw]:
    request.app[LLM].check()
    return await read_json(request, dict[str, Raw], MAX_BODY_BYTES)


async def _pass_on(request: web.Request, path: str, body: dict[str, Raw]) -> web.StreamResponse:
    models, asked = request.app[LLM], _name(body)
    model = models.upstream_name(asked)
    if model is not None:
        body = body | {"model": _raw(model)}
    counted = counting(body)
    passage = _Passage(request, None if model is None else asked, Folding(active=counted is not None))
    async with models.ask(path, msgspec.json.encode(counted or body)) as answer:
        if answer.status != 200:
            return await refusal(answer)
        if answer.content_type == "text/event-stream":
            return await passage.events(answer)
        return web.Response(body=passage.changed(await answer.read()), content_type="application/json")


class _Passage:
    """An answer on its way back."""

    def __init__(self, request: web.Request, model: str | None, folding: Folding) -> None:
        self._request = request
        self._model = model
        """The name that the caller gave the model, where the server knows another."""
        self._folding = folding

    async def events(self, answer: Answer) -> web.StreamResponse:
        """Send its events on as they come. Raises UpstreamFailed before the first; later it is an event."""
        events = Events(self._request)
        try:
            async with contextlib.aclosing(beating(answer.events(), events)) as pieces:
                async for data in pieces:
                    for told in self._told(data):
                        await events.send(told)
            for told in self._rest():
                await events.send(told)
        except UpstreamFailed as error:
            if not events.begun:
                raise
            self._request[EXCHANGE].failure = error
            await events.send(msgspec.json.encode(error_body(error)))
        return await events.end()

    def changed(self, data: bytes) -> bytes:
        """The answer under the caller's name for the model. Raises UpstreamFailed."""
        return self._named(self._read(data))

    def _told(self, data: bytes) -> Iterator[bytes]:
        """What the caller is told now that an event has come. Raises UpstreamFailed."""
        if data == _DONE:
            yield from self._rest()
            yield data
        else:
            yield from map(self._named, self._folding.fold(self._read(data)))

    def _rest(self) -> Iterator[bytes]:
        """What was held back until now."""
        return map(self._named, self._folding.rest())

    def _read(self, data: bytes) -> Part:
        """The answer, or a part of it, with the tokens that it counts noted. Raises UpstreamFailed."""
        try:
            part = msgspec.json.decode(data, type=Part)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UpstreamFailed("the language model's server answered with what is no JSON object") from None
        if usage := part.get("usage"):
            self._note(usage)
        return part

    def _named(self, part: Part) -> bytes:
        """The same under the caller's name for the model."""
        if self._model is not None and "model" in part:
            part = part | {"model": _raw(self._model)}
        return msgspec.json.encode(part)

    def _note(self, usage: Raw) -> None:
        """Keep the latest count of tokens: a stream may count as it goes."""
        with contextlib.suppress(msgspec.ValidationError):  # null, or not counted in the way of OpenAI
            tokens = msgspec.json.decode(usage, type=Tokens)
            exchange = self._request[EXCHANGE]
            exchange.tokens_input, exchange.tokens_output = tokens.prompt_tokens, tokens.completion_tokens


def _name(body: dict[str, Raw]) -> str | None:
    if "model" not in body:
        return None
    try:
        return msgspec.json.decode(body["model"], type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ParameterError("`model` in the body is wrong: expected a string", param="model") from None


def _raw(text: str) -> Raw:
    return Raw(msgspec.json.encode(text))


_ANSWER: Final = "What the language model's server answered"
_EVENTS: Final = Reply(
    doc="With `stream`: its events", content_type="text/event-stream", example=examples.EVENTS
)

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/v1/chat/completions",
        handler=chat,
        dialect=DIALECT,
        shared_with=("lexia",),
        permission="llm",
        summary="A language model's answer",
        doc="Passed on to the server of `llm.url` in this server's configuration.",
        body=Chat,
        example=examples.CHAT,
        replies=(Reply(doc=_ANSWER, example=examples.ANSWER), _EVENTS),
    ),
    Endpoint(
        method="POST",
        path="/v1/completions",
        handler=complete,
        dialect=DIALECT,
        shared_with=("lexia",),
        permission="llm",
        summary="A language model's continuation of a text",
        doc="Passed on in the same way; with `messages` it is `/v1/chat/completions`.",
        body=Prompt,
        example=examples.PROMPT,
        replies=(Reply(doc=_ANSWER, example=examples.ANSWER), _EVENTS),
    ),
)
