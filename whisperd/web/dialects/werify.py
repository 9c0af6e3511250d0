"""The werify app's Whisper server: recordings in `file` or `files`, or by URL; options in the query.

Its errors are FastAPI's. The original refuses files by their names; here the bytes decide, and a name is
blamed only when they can't be decoded: its clients look for `Unsupported: .txt`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from whisperd.errors import (
    FetchFailed,
    MediaError,
    MissingParameter,
    UrlNotFound,
    UrlRefused,
    WhisperdError,
)
from whisperd.transcript.model import Notice, Request, Task
from whisperd.web import fastapi
from whisperd.web.bodies import json_reply, read_json
from whisperd.web.crossroads import PERHAPS, SURELY, Sent, Way
from whisperd.web.dialects.werify_replies import (
    EXAMPLE,
    QueueJson,
    TranscriptJson,
    queue,
    transcript_json,
)
from whisperd.web.endpoint import Dialect, Endpoint, Reply
from whisperd.web.fields import FileField, Values, choice, flag, integer, text
from whisperd.web.keys import FETCHER, SERVICE
from whisperd.web.room import early
from whisperd.web.speech import (
    HINTS,
    LANGUAGE,
    TEMPERATURE,
    from_caller,
    ignored,
    misplaced,
    process,
    query_values,
    reply,
    speaker_hints,
)
from whisperd.web.uploads import Form, Upload, receive

FILES: Final = (FileField(name="file"), FileField(name="files", doc="Another name for `file`."))
INCLUDE_SEGMENTS: Final = flag("include_segments", "Answer with segments too.")
_TASKS: Final[Mapping[str, Task]] = {"transcribe": "transcribe", "translate": "translate"}
TASK: Final = choice("task", "`translate` gives English text.", tuple(_TASKS), default="transcribe")
BEST_OF: Final = integer("best_of", "Has no effect: the server decides.", minimum=1, maximum=100)
SPEAKERS: Final = flag("speakers", "Tell who said each segment.")
URL: Final = text("url", "Where the recording is.")
QUERY: Final = (LANGUAGE, INCLUDE_SEGMENTS, TASK, TEMPERATURE, BEST_OF, SPEAKERS, *HINTS)

_EXTENSIONS: Final = frozenset(
    [".aac", ".flac", ".m4a", ".mka", ".mkv", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".wav", ".webm"]
)
"""Names of recordings; one that can't be decoded is not blamed on them."""


# ---- errors --------------------------------------------------------------------------------------

_render: Final = fastapi.renderer((*QUERY, URL), aliases={"diarize": SPEAKERS.name})


def render_error(request: web.Request, error: WhisperdError) -> web.Response:
    """FastAPI's shapes; what is wrong with a URL is the caller's mistake, as it was to the original."""
    if isinstance(error, UrlRefused | UrlNotFound | FetchFailed):
        return json_reply(fastapi.Detail(error.message), 400)
    return _render(request, error)


DIALECT: Final = Dialect(name="werify", render_error=render_error, error=fastapi.Detail)


# ---- one recording -------------------------------------------------------------------------------


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Transcribe one recording."""
    begins = early(request, _wanted, ())
    async with receive(request, files=FILES, fields=(), begins=begins) as form:
        return await _answer(request, form)


async def _answer(request: web.Request, form: Form) -> web.StreamResponse:
    """Transcribe the recording of a form."""
    values = query_values(request)
    recording = form.recording()
    try:
        return await _transcribed(request, values, recording.path, in_vain=misplaced(form.values))
    except MediaError as error:
        if foreign := foreign_suffix(error, recording):
            raise MediaError(f"Unsupported: {foreign}") from error
        raise


async def _transcribed(
    request: web.Request, values: Values, path: Path, *, in_vain: Sequence[Notice] = ()
) -> web.StreamResponse:
    transcript = await process(request, wanted(values, path))
    warnings = [*without_effect(values), *in_vain, *transcript.warnings]
    return await reply(
        transcript,
        lambda: msgspec.json.encode(
            transcript_json(transcript, warnings, with_segments=with_segments(values))
        ),
        warnings=warnings,
    )


def _wanted(request: web.Request, _: Values) -> Request:
    return wanted(query_values(request), Path())


def wanted(values: Values, path: Path) -> Request:
    """What the options ask for. Raises ParameterError."""
    # Wrong where they are wrong, although the service has no use for them.
    values.one(BEST_OF)
    values.one(INCLUDE_SEGMENTS)
    return Request(
        audio=path,
        task=_TASKS[values.one(TASK)],
        language=values.one(LANGUAGE),
        temperature=values.one(TEMPERATURE),
        speakers=values.one(SPEAKERS),
        hints=speaker_hints(values),
    )


def with_segments(values: Values) -> bool:
    """Whether the reply has segments."""
    return values.one(INCLUDE_SEGMENTS) or values.one(SPEAKERS)


def without_effect(values: Values) -> list[Notice]:
    """Notices of options in the query that change nothing."""
    unheard = (BEST_OF,) if values.one(SPEAKERS) else (BEST_OF, *HINTS)
    return ignored(values, known=(*QUERY, URL), unheard=unheard)


def foreign_suffix(error: MediaError, recording: Upload) -> str | None:
    """The name's extension, where that is no recording's and the bytes turned out to be none either."""
    suffix = PurePath(recording.filename).suffix
    return suffix if type(error) is MediaError and suffix.lower() not in {"", *_EXTENSIONS} else None


# ---- by URL --------------------------------------------------------------------------------------


class UrlBody(Struct, frozen=True, kw_only=True):
    """A recording elsewhere; the options go here or in the query, where they win."""

    url: str | None = None
    language: str | None = None
    include_segments: bool | None = None
    task: str | None = None
    temperature: float | None = None
    speakers: bool | None = None
    num_speakers: int | None = None
    min_speakers: int | None = None
    max_speakers: int | None = None


async def transcribe_url(request: web.Request) -> web.StreamResponse:
    """Transcribe a recording that is fetched."""
    body = await read_json(request, UrlBody)
    options = {name: [_text(value)] for name, value in msgspec.to_builtins(body).items() if value is not None}
    values = Values(options | {name: request.query.getall(name) for name in request.query})
    url = values.one(URL)
    if url is None:
        raise MissingParameter("no `url`, neither in the query nor in a JSON body", param="url")
    request.app[SERVICE].check_room(from_caller(request, wanted(values, Path())))
    async with request.app[FETCHER].recording(url) as path:
        return await _transcribed(request, values, path)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# ---- how busy it is ------------------------------------------------------------------------------


async def queue_status(request: web.Request) -> web.StreamResponse:
    """Tell how busy the service is."""
    service = request.app[SERVICE]
    return json_reply(queue(service.status(), service.tally), 200)


# ---- the endpoints -------------------------------------------------------------------------------


def _likeness(sent: Sent) -> int:
    return SURELY if {file.name for file in FILES} & sent.files else PERHAPS


_TRANSCRIPT: Final = Reply(doc="The transcript", bodies=(TranscriptJson,), example=EXAMPLE)

TRANSCRIBE: Final = Way(
    endpoint=Endpoint(
        method="POST",
        path="/transcribe",
        handler=transcribe,
        dialect=DIALECT,
        summary="Speech to text, as the werify app's server has it",
        query=QUERY,
        files=FILES,
        replies=(_TRANSCRIPT,),
    ),
    likeness=_likeness,
    wanted=_wanted,
    answer=_answer,
)

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/transcribe/url",
        handler=transcribe_url,
        dialect=DIALECT,
        summary="A recording that the server fetches",
        query=(URL, *QUERY),
        body=UrlBody,
        example={"url": "https://example.com/audio.mp3"},
        replies=(_TRANSCRIPT,),
    ),
    Endpoint(
        method="GET",
        path="/queue/status",
        handler=queue_status,
        dialect=DIALECT,
        summary="How busy the service is",
        replies=(Reply(doc="Counts since the start", bodies=(QueueJson,)),),
    ),
)
