"""JSON bodies: read into a struct, with errors that say which part of the body is wrong."""

import asyncio
import re
from typing import Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from whisperd.errors import MissingParameter, ParameterError, RequestError, TooLarge, UploadTimeout
from whisperd.web.keys import LIVE

S = TypeVar("S", bound=Struct)

_WHERE: Final = re.compile(r" - at `\$\.?(.*)`$")
_MISSING: Final = re.compile(r"Object missing required field `(.+)`")


async def read_json(request: web.Request, kind: type[S]) -> S:
    """The body; an empty one counts as an empty object.

    Raises MissingParameter, ParameterError (both with the path of the part that is wrong), RequestError for
    what is no JSON, TooLarge, UploadTimeout.
    """
    limits = request.app[LIVE].current.limits
    try:
        async with asyncio.timeout(limits.upload_idle):
            body = await request.read()
    except TimeoutError as error:
        raise UploadTimeout(f"the body did not come within {limits.upload_idle}") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLarge("the JSON body is larger than 1 MiB") from error
    try:
        return msgspec.json.decode(body.strip() or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _wrong(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError("the body is no valid JSON") from error


def _wrong(message: str) -> ParameterError:
    """msgspec's `what is wrong - at `$.path``, as an error that names the parameter."""
    where = found[1] if (found := _WHERE.search(message)) else ""
    what = _WHERE.sub("", message)
    if missing := _MISSING.fullmatch(what):
        path = f"{where}.{missing[1]}" if where else missing[1]
        return MissingParameter(f"the body has no `{path}`", param=path)
    place = f"`{where}` in the body" if where else "the body"
    return ParameterError(f"{place} is wrong: {what[:1].lower()}{what[1:]}", param=where or None)
