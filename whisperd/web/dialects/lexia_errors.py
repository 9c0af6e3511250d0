"""Errors of Lexia's gateway: `{"error": {message, type, param, code}}`.

Some of them Lexia wraps once more, in `detail`. These have both, so that whoever reads either finds it.
"""

from collections.abc import Callable, Collection
from typing import Any, Final, Literal, NamedTuple

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from whisperd.errors import (
    Forbidden,
    InvalidId,
    MediaError,
    MissingFile,
    MissingParameter,
    NotCancellable,
    ParameterError,
    RateLimited,
    RequestError,
    TooLarge,
    TooLong,
    Unauthorized,
    Unavailable,
    UnknownJob,
    UnknownModel,
    WhisperdError,
)
from whisperd.web.bodies import json_reply
from whisperd.web.endpoint import Dialect
from whisperd.web.fields import Field

Family = Literal["transcription", "diarization", "job"]


class ErrorDetail(Struct, frozen=True):
    """All four keys are always there."""

    message: str
    type: str
    param: str | None
    code: str | None


class Wrapped(Struct, frozen=True):
    """The same once more."""

    error: ErrorDetail


class ErrorBody(Struct, frozen=True):
    """An error."""

    error: ErrorDetail
    detail: Wrapped | UnsetType = UNSET
    """Where Lexia has it here, and here alone."""


class _Told(NamedTuple):
    """How an error is told."""

    status: int
    type: str
    code: str | None
    wrapped: bool = False


_INVALID: Final = "invalid_request_error"
_UNFORESEEN: Final = "An internal server error occurred."
_SYNC: Final = {
    "transcription": _Told(500, "transcription_error", "stt_service_error", wrapped=True),
    "diarization": _Told(500, "diarization_error", "diarization_service_error", wrapped=True),
}


_PARAMS: Final = {"diarize": "speaker_labels", "language": "language_code", "languages": "languages[]"}
"""What callers call a part of the request that has another name inside."""


def dialect(family: Family, *, sync: bool = False, query: Collection[Field[Any]] = ()) -> Dialect:
    """The dialect of some endpoints: `sync` ones answer with the result itself, and `query` is theirs."""
    return Dialect(name="lexia", render_error=_renderer(family, sync, query), error=ErrorBody)


def _renderer(
    family: Family, sync: bool, query: Collection[Field[Any]]
) -> Callable[[web.Request, WhisperdError], web.Response]:
    names = {field.name for field in query}

    def render_error(_: web.Request, error: WhisperdError) -> web.Response:
        told = _told(error, family, sync)
        param = getattr(error, "param", None)
        param = _PARAMS.get(param or "", param)
        detail = ErrorDetail(
            error.message if type(error) is not WhisperdError else _UNFORESEEN,
            told.type,
            f"query.{param}" if param in names else param,
            told.code,
        )
        body = ErrorBody(detail, Wrapped(detail) if told.wrapped else UNSET)
        return json_reply(body, told.status)

    return render_error


def _told(error: WhisperdError, family: Family, sync: bool) -> _Told:
    match error:
        case RequestError():
            return _refused(error, family, sync)
        case Unavailable():
            # Not a failure of the engine, as it would be in Lexia: the same request succeeds a little later.
            return _Told(error.status, "server_error", error.code)
        case _ if type(error) is WhisperdError:
            return _Told(500, "server_error", None)
        case _ if sync:
            return _SYNC[family]
    return _Told(error.status, "server_error", error.code)


def _refused(error: RequestError, family: Family, sync: bool) -> _Told:
    match error:
        case MissingFile() | MissingParameter(param="audio_url") if family == "diarization" and not sync:
            return _Told(400, _INVALID, "missing_audio_source", wrapped=True)
        case ParameterError(param="audio_url") if family == "diarization":
            return _Told(400, _INVALID, "invalid_url_format", wrapped=True)
        case MissingFile() | ParameterError(param="audio_url") if not sync:
            return _Told(422, _INVALID, "validation_error")
        case ParameterError() | MissingFile():
            return _Told(422, _INVALID, None)
        case TooLarge() | TooLong():
            return _Told(422, "api_error", error.code)
        case MediaError():
            return _Told(422, "api_error", "invalid_audio_format")
        case InvalidId() | NotCancellable():
            return _Told(error.status, _INVALID, error.code, wrapped=True)
        case UnknownJob():
            code = "transcription_not_found" if family == "transcription" else error.code
            return _Told(error.status, "api_error", code)
        case UnknownModel() | RateLimited() | Forbidden():
            return _Told(error.status, error.code, error.code)
        case Unauthorized():
            return _Told(error.status, "invalid_api_key", error.code)
        case _ if type(error) is RequestError:
            return _Told(422, _INVALID, None)
    return _Told(error.status, _INVALID, error.code)
