"""OpenAI's errors, and so its dialect."""

from typing import Final

from aiohttp import web
from msgspec import Struct

from whisperd.errors import RateLimited, WhisperdError
from whisperd.web.bodies import json_reply
from whisperd.web.endpoint import Dialect

_PARAMS: Final = {"known_speakers": "known_speaker_references[]", "languages": "languages[]"}
"""What callers call a part of the request that has another name inside."""


class ErrorDetail(Struct, frozen=True):
    """All four keys are always there."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Struct, frozen=True):
    """An error, as OpenAI's clients read it."""

    error: ErrorDetail


def error_type(status: int) -> str:
    """OpenAI's kind of error; for a limit it is what was counted."""
    if status == RateLimited.status:
        return "requests"
    return "invalid_request_error" if status < 500 else "server_error"


def error_body(error: WhisperdError) -> ErrorBody:
    """`{"error": {message, type, param, code}}`."""
    param = getattr(error, "param", None)
    param = _PARAMS.get(param or "", param)
    return ErrorBody(ErrorDetail(error.message, error_type(error.status), param, error.code))


def render_error(_: web.Request, error: WhisperdError) -> web.Response:
    """The error as a reply."""
    return json_reply(error_body(error), error.status)


DIALECT: Final = Dialect(name="openai", render_error=render_error, error=ErrorBody)
