"""The client of a language model's server, which speaks OpenAI's protocol: vLLM, Ollama, llama.cpp."""

import asyncio
import contextlib
import io
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final, Literal

import msgspec
from aiohttp import ClientError, ClientResponse, ClientTimeout
from msgspec import Struct
from yarl import URL

from whisperd.config.live import Live
from whisperd.config.secret import read_secret
from whisperd.config.units import Size
from whisperd.egress import Client, Egress
from whisperd.errors import MissingParameter, UnknownModel, UnknownRoute, UpstreamFailed
from whisperd.media.resolver import Resolver
from whisperd.tasks import scoped

logger = logging.getLogger(__name__)

_CONNECT_S: Final = 10.0
_LIST_S: Final = 3.0
"""Longest time that the server has for its list of models."""
_FRESH_S: Final = 10.0
"""How old it may be what is said of the server's health."""
_PATIENCE_S: Final = 0.5
_MAX_LINE_BYTES: Final = 4 * 2**20
_LOADING: Final = 503
"""What llama.cpp answers until its model is loaded."""
_DEFAULT_TAG: Final = ":latest"
"""Ollama lists with it what may be asked for without."""

ModelStatus = Literal["available", "loading", "unavailable"]


class LanguageModel(Struct, frozen=True, kw_only=True):
    """A language model, as callers know it."""

    name: str
    status: ModelStatus
    owned_by: str | None = None
    context_length: int | None = None
    """Tokens, if the server tells."""


class _Entry(Struct, frozen=True):
    """What a server's list may say of a model."""

    id: str
    owned_by: str | None = None
    max_model_len: int | None = None


class _Listed(Struct, frozen=True):
    """A server's list of models."""

    data: list[_Entry]


class Answer:
    """An answer that has begun."""

    def __init__(self, response: ClientResponse, limit: Size) -> None:
        self._response = response
        self._limit = limit
        self._size = 0
        self.status = response.status
        self.content_type = response.content_type
        self.retry_after = response.headers.get("Retry-After")

    async def read(self) -> bytes:
        """The whole body. Raises UpstreamFailed."""
        pieces = []
        while piece := await self._piece():
            pieces.append(piece)
        return b"".join(pieces)

    async def events(self) -> AsyncIterator[bytes]:
        """The data of each event, as it comes. Raises UpstreamFailed."""
        rest = b""
        while piece := await self._piece():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if data := _data(line):
                    yield data
            if len(rest) > _MAX_LINE_BYTES:
                raise UpstreamFailed("the language model's server sent an event without an end")
        if data := _data(rest):
            yield data

    async def _piece(self) -> bytes:
        with _blaming():
            piece = await self._response.content.readany()
        self._size += len(piece)
        if self._size > self._limit:
            logger.warning("the language model's server answered more than %s (llm.answer)", self._limit)
            raise UpstreamFailed(
                f"the language model's server answered more than {self._limit}, which is this server's limit "
                "(`llm.answer`)"
            )
        return piece


class LanguageModels:
    """What the configured server has. Raises StartError when its key can't be read."""

    def __init__(self, live: Live, egress: Egress) -> None:
        self._live = live
        self._egress = egress
        self._headers = {}
        if (path := live.current.llm.key_file) != "none":
            self._headers["Authorization"] = f"Bearer {read_secret(path, 'llm.key_file')}"
        self._client: Client | None = None
        self._look: asyncio.Task[None] | None = None
        self._look_due = 0.0
        self._answers = False

    async def aclose(self) -> None:
        """Close all connections."""
        if self._look:
            async with scoped(self._look):
                pass
        if self._client:
            await self._client.aclose()
            self._client = None

    async def answers(self) -> bool:
        """Whether there is a server and it answered when it was looked at last, some seconds ago.

        For those who ask often and must not wait: a server that is slow counts as it was before.
        """
        if self._live.current.llm.url == "none":
            return False
        loop = asyncio.get_running_loop()
        if loop.time() >= self._look_due and (self._look is None or self._look.done()):
            self._look_due = loop.time() + _FRESH_S
            self._look = asyncio.create_task(self._look_after_it())
        if self._look:
            await asyncio.wait([self._look], timeout=_PATIENCE_S)
        return self._answers

    async def _look_after_it(self) -> None:
        try:
            self._answers = await self._list() is not None
        except (UpstreamFailed, UnknownRoute):  # the latter where a reload has just removed it
            self._answers = False

    def check(self) -> None:
        """Raise UnknownRoute where there is no server to ask."""
        self._base()

    def upstream_name(self, name: str | None) -> str | None:
        """What the server calls a model; None where names are its own already.

        Raises MissingParameter, UnknownModel.
        """
        names = self._names()
        if not names:
            return None
        listed = ", ".join(names)
        if name is None:
            raise MissingParameter(f"the body has no `model`; there are: {listed}", param="model")
        if name not in names:
            raise UnknownModel(f"no language model {name[:60]!r} here; there are: {listed}", param="model")
        return names[name]

    async def models(self) -> list[LanguageModel]:
        """All that callers may name: the configured names, or without any what the server lists."""
        if self._live.current.llm.url == "none":
            return []
        names = self._names()
        try:
            listed = await self._list()
        except UpstreamFailed:
            return [LanguageModel(name=name, status="unavailable") for name in names]
        if listed is None:
            return [LanguageModel(name=name, status="loading") for name in names]
        if not names:
            return [_described(name, entry) for name, entry in listed.items()]
        return [
            _described(name, listed.get(model, listed.get(model + _DEFAULT_TAG)))
            for name, model in names.items()
        ]

    @contextlib.asynccontextmanager
    async def ask(self, path: str, body: bytes) -> AsyncIterator[Answer]:
        """Post a JSON body to a path below the base URL; leaving the context early ends the server's work.

        Raises UnknownRoute where there is no server, UpstreamFailed.
        """
        llm = self._live.current.llm
        async with contextlib.AsyncExitStack() as stack:
            with _blaming():
                response = await stack.enter_async_context(
                    self._open().request(
                        "POST",
                        URL(f"{self._base()}/{path}"),
                        data=io.BytesIO(body),
                        headers={"Content-Type": "application/json"},
                        timeout=ClientTimeout(connect=_CONNECT_S, sock_read=llm.timeout),
                    )
                )
            # Released before its end, a connection would be read on; closed, it tells the server.
            stack.callback(response.close)
            yield Answer(response, llm.answer)

    async def _list(self) -> Mapping[str, _Entry] | None:
        """The server's models by their ids; None while it loads one. Raises UpstreamFailed."""
        with _blaming():
            async with (
                asyncio.timeout(_LIST_S),
                self._open().request("GET", URL(f"{self._base()}/models")) as response,
            ):
                if response.status == _LOADING:
                    return None
                if response.status != 200:
                    raise UpstreamFailed(f"the language model's server answered {response.status}")
                body = await Answer(response, self._live.current.llm.answer).read()
        try:
            return {entry.id: entry for entry in msgspec.json.decode(body, type=_Listed).data}
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise UpstreamFailed("the language model's server answered with no list of models") from None

    def _base(self) -> str:
        url = self._live.current.llm.url
        if url == "none":
            raise UnknownRoute(
                "there is no language model here: this server's configuration has none (`llm.url`)"
            )
        return url.rstrip("/")

    def _names(self) -> dict[str, str]:
        """Models of the server by the names that callers give them."""
        pairs = (entry.partition("=") for entry in self._live.current.llm.models)
        return {name: model for name, _, model in pairs}

    def _open(self) -> Client:
        if self._client is None:
            self._client = Client(self._egress, Resolver(), headers=self._headers)
        return self._client


def _data(line: bytes) -> bytes:
    """What a line of an event stream has of an event's data, which is one line in OpenAI's protocol."""
    return line.removeprefix(b"data:").strip() if line.startswith(b"data:") else b""


def _described(name: str, entry: _Entry | None) -> LanguageModel:
    """A model, with what the server's list says of it."""
    if entry is None:
        return LanguageModel(name=name, status="unavailable")
    return LanguageModel(
        name=name, status="available", owned_by=entry.owned_by, context_length=entry.max_model_len
    )


@contextlib.contextmanager
def _blaming() -> Iterator[None]:
    """Tell of the client's failures in our own words; the reason is for the journal."""
    try:
        yield
    except TimeoutError as error:
        logger.warning("the language model's server did not answer in time: %s", error)
        raise UpstreamFailed("the language model's server did not answer in time") from None
    except ClientError as error:
        logger.warning("the language model's server failed: %s: %s", type(error).__name__, error)
        raise UpstreamFailed("the language model's server can't be reached, or broke off") from None
