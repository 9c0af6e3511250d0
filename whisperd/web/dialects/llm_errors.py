"""What the language model's server refuses, told in OpenAI's shape, whatever its own is."""

from typing import Any, Final

import msgspec
from aiohttp import web

from whisperd.errors import UpstreamFailed
from whisperd.llm import Answer
from whisperd.web.bodies import json_reply
from whisperd.web.dialects.openai_errors import ErrorBody, ErrorDetail, error_type

_OURS: Final = {401, 403, 407}
"""Not the caller's fault: it is this server's key that was refused."""
_CODES: Final = {404: "model_not_found", 413: "request_too_large", 429: "rate_limit_exceeded"}


async def refusal(answer: Answer) -> web.Response:
    """The reply for an answer without success that the caller can do something about.

    Raises UpstreamFailed for any other.
    """
    status = answer.status
    told = _told(await answer.read()) if 400 <= status < 500 and status not in _OURS else {}
    if "message" not in told:
        raise UpstreamFailed(f"the language model's server answered {status}")
    kind, param, code = (_text(told.get(key)) for key in ("type", "param", "code"))
    detail = ErrorDetail(told["message"], kind or error_type(status), param, code or _CODES.get(status))
    response = json_reply(ErrorBody(detail), status)
    if answer.retry_after:
        response.headers["Retry-After"] = answer.retry_after
    return response


def _told(body: bytes) -> dict[str, Any]:
    """The error's parts, `message` among them, from any of the shapes that servers have for it."""
    try:
        error = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    match error:
        case {"error": {"message": str()}}:
            told: dict[str, Any] = error["error"]
            return told
        case {"error": str(message)} | {"detail": str(message)}:
            return {"message": message}
        case {"message": str()}:
            return dict(error)
    return {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
