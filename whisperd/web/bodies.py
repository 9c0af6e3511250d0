"""Bodies without files: JSON, written, and read with errors that say which part is wrong; plain forms."""

import asyncio
import re
import urllib.parse
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from whisperd.errors import MissingParameter, ParameterError, RequestError, TooLarge, UploadTimeout
from whisperd.web.fields import Values
from whisperd.web.invitation import invite
from whisperd.web.keys import LIVE

T = TypeVar("T")

MAX_JSON_BYTES: Final = 2**20

_WHERE: Final = re.compile(r" - at `\$\.?(.*)`$")
_MAX_FIELDS: Final = 100
_MISSING: Final = re.compile(r"Object missing required field `(.+)`")


def json_reply(body: Struct | Sequence[Struct], status: int = 200) -> web.Response:
    """A body as JSON."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


async def read_json(request: web.Request, kind: type[T], max_bytes: int = MAX_JSON_BYTES) -> T:
    """The body; an empty one counts as an empty object.

    Raises MissingParameter, ParameterError (both with the path of the part that is wrong), RequestError for
    what is no JSON, TooLarge, UploadTimeout.
    """
    body = await _read(request, max_bytes)
    try:
        return msgspec.json.decode(body.strip() or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _wrong(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError("the body is no valid JSON") from error
    except RecursionError as error:
        raise RequestError("the body is nested too deeply") from error


async def read_urlencoded(request: web.Request) -> Values:
    """The fields of a form without files. Raises RequestError for what is none, TooLarge, UploadTimeout."""
    body = await _read(request, MAX_JSON_BYTES)
    try:
        return Values(
            urllib.parse.parse_qs(
                body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
            )
        )
    except ValueError as error:
        raise RequestError(
            f"the form is malformed, is not UTF-8 or has more than {_MAX_FIELDS} fields"
        ) from error


async def _read(request: web.Request, max_bytes: int) -> bytes:
    limits = request.app[LIVE].current.limits
    too_large = TooLarge(f"the body is larger than {max_bytes // 2**20} MiB")
    if (request.content_length or 0) > max_bytes:
        raise too_large
    await invite(request)
    try:
        async with asyncio.timeout(limits.upload_idle):
            return await request.clone(client_max_size=max_bytes).read()
    except TimeoutError as error:
        raise UploadTimeout(f"the body did not come within {limits.upload_idle}") from error
    except (web.RequestPayloadError, HttpProcessingError) as error:
        raise RequestError("the body is cut off, or not encoded as its head says") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large from error


def _wrong(message: str) -> ParameterError:
    """msgspec's `what is wrong - at `$.path``, as an error that names the parameter."""
    where = found[1] if (found := _WHERE.search(message)) else ""
    what = _WHERE.sub("", message)
    if missing := _MISSING.fullmatch(what):
        path = f"{where}.{missing[1]}" if where else missing[1]
        return MissingParameter(f"the body has no `{path}`", param=path)
    place = f"`{where}` in the body" if where else "the body"
    return ParameterError(f"{place} is wrong: {what[:1].lower()}{what[1:]}", param=where or None)
