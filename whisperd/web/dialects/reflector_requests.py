"""What Reflector's endpoints have in common: their errors, JSON bodies, recordings by URL."""

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from aiohttp import web
from msgspec import Meta, Struct

from whisperd.errors import ParameterError, RequestError, Unavailable, WhisperdError
from whisperd.web import fastapi
from whisperd.web.bodies import json_reply, read_json
from whisperd.web.endpoint import Dialect
from whisperd.web.fields import Field
from whisperd.web.keys import FETCHER

B = TypeVar("B", bound=Struct)

MAX_SHIFT_S: Final = 1e10
"""Times may be counted from another beginning than the recording's, also from that of an epoch."""
Shift = Annotated[float, Meta(ge=-MAX_SHIFT_S, le=MAX_SHIFT_S)]


def dialect(*, query: Collection[Field[Any]] = (), work: str | None = None) -> Dialect:
    """The dialect of an endpoint with these parameters in its query; its failures are those of the `work`."""
    return Dialect(name="reflector", render_error=_renderer(query, work), error=fastapi.Detail)


def _renderer(
    query: Collection[Field[Any]], work: str | None
) -> Callable[[web.Request, WhisperdError], web.Response]:
    render = fastapi.renderer(query)

    def render_error(request: web.Request, error: WhisperdError) -> web.Response:
        if work and not isinstance(error, RequestError | Unavailable):
            return json_reply(fastapi.Detail(f"{work} failed: {error.message}"), error.status)
        return render(request, error)

    return render_error


async def read_body(request: web.Request, kind: type[B]) -> B:
    """The JSON body; none counts as an empty object. Raises ParameterError for what is no JSON, too."""
    if request.body_exists and request.content_type != "application/json":
        raise ParameterError(f"send the body as application/json; this one is {request.content_type}")
    try:
        return await read_json(request, kind)
    except RequestError as error:
        if type(error) is RequestError:
            raise ParameterError(error.message) from error
        raise


@contextlib.asynccontextmanager
async def recording(request: web.Request, url: str, *, param: str) -> AsyncIterator[Path]:
    """The recording at a URL that came as `param`, for as long as the context is open."""
    async with contextlib.AsyncExitStack() as stack:
        with naming(param):
            path = await stack.enter_async_context(request.app[FETCHER].recording(url))
        yield path


@contextlib.contextmanager
def naming(param: str) -> Iterator[None]:
    """Say of a parameter that is wrong which one it is."""
    try:
        yield
    except ParameterError as error:
        raise ParameterError(error.message, param=param) from error
