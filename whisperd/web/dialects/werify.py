"""The werify app's Whisper server: `POST /transcribe` with the recording in `file`, options in the query.

Its errors are FastAPI's: `{"detail": ...}`, and status 422 with a list for a parameter that is wrong.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from whisperd.errors import MissingFile, ParameterError, WhisperdError
from whisperd.transcript.model import Notice, Request, Task
from whisperd.web.crossroads import PERHAPS, SURELY, Sent, Way
from whisperd.web.endpoint import Dialect, Endpoint, Reply
from whisperd.web.fields import FileField, Values, choice, flag, integer
from whisperd.web.speech import HINTS, LANGUAGE, TEMPERATURE, ignored, process, reply, speaker_hints
from whisperd.web.uploads import Form, receive

INCLUDE_SEGMENTS: Final = flag("include_segments", "Answer with segments too.")
_TASKS: Final[Mapping[str, Task]] = {"transcribe": "transcribe", "translate": "translate"}
TASK: Final = choice("task", "`translate` gives English text.", tuple(_TASKS), default="transcribe")
BEST_OF: Final = integer("best_of", "Has no effect: the server decides.", minimum=1, maximum=100)
SPEAKERS: Final = flag("speakers", "Tell who said each segment.")
FILES: Final = (FileField(name="file"), FileField(name="files", doc="Another name for `file`."))
QUERY: Final = (LANGUAGE, INCLUDE_SEGMENTS, TASK, TEMPERATURE, BEST_OF, SPEAKERS, *HINTS)

# ---- errors --------------------------------------------------------------------------------------


class Wrong(Struct, frozen=True, kw_only=True):
    """One parameter that is wrong, as FastAPI tells of it."""

    type: str
    loc: list[str]
    msg: str
    input: None = None


class Detail(Struct, frozen=True):
    """What is wrong: a sentence, or with status 422 a list."""

    detail: str | list[Wrong]


_WRONG_TYPES: Final = {"boolean": "bool_parsing", "integer": "int_parsing", "number": "float_parsing"}


def _wrong(error: ParameterError | MissingFile) -> Wrong:
    if isinstance(error, MissingFile):
        return Wrong(type="missing", loc=["body", error.param or "file"], msg=error.message)
    # The service calls the wish for speakers by another name.
    name = SPEAKERS.name if error.param == "diarize" else error.param or ""
    kinds = {field.name: field.kind for field in QUERY}
    kind = _WRONG_TYPES.get(kinds.get(name, ""), "value_error")
    return Wrong(type=kind, loc=["query", name], msg=error.message)


def render_error(_: web.Request, error: WhisperdError) -> web.Response:
    """FastAPI's shapes."""
    if isinstance(error, ParameterError | MissingFile):
        body, status = Detail([_wrong(error)]), 422
    else:
        body, status = Detail(error.message), error.status
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


DIALECT: Final = Dialect(name="werify", render_error=render_error, error=Detail)


# ---- the endpoint --------------------------------------------------------------------------------


class SegmentJson(Struct, frozen=True, kw_only=True):
    """A segment; seconds."""

    start: float
    end: float
    text: str
    speaker: str | UnsetType = UNSET


class TranscriptJson(Struct, frozen=True, kw_only=True):
    """Every key is always there, but for warnings."""

    text: str
    language: str | None
    duration: float
    processing_time: float
    """Seconds, without the wait."""
    queue_wait_time: float
    """Seconds."""
    segments: list[SegmentJson] | None
    """Null unless `include_segments` asked for them."""
    warnings: list[Notice] | UnsetType = UNSET


async def transcribe(request: web.Request) -> web.StreamResponse:
    """Transcribe one recording."""
    async with receive(request, files=FILES, fields=()) as form:
        return await _answer(request, form)


async def _answer(request: web.Request, form: Form) -> web.StreamResponse:
    """Transcribe the recording of a form."""
    values = Values({name: request.query.getall(name) for name in request.query})
    speakers = values.one(SPEAKERS)
    with_segments = values.one(INCLUDE_SEGMENTS) or speakers
    values.one(BEST_OF)  # wrong where it is wrong, although it has no effect
    wanted = Request(
        audio=form.recording().path,
        task=_TASKS[values.one(TASK)],
        language=values.one(LANGUAGE),
        temperature=values.one(TEMPERATURE),
        speakers=speakers,
        hints=speaker_hints(values),
    )
    transcript = await process(request, wanted)
    warnings = ignored(values, known=QUERY, unheard=(BEST_OF,) if speakers else (BEST_OF, *HINTS))
    warnings += ignored(form.values, known=(), instead="; send it in the query") + transcript.warnings

    def write() -> bytes:
        segments = [
            SegmentJson(
                start=round(segment.start, 2),
                end=round(segment.end, 2),
                text=segment.text.strip(),
                speaker=segment.speaker or UNSET,
            )
            for segment in transcript.segments
        ]
        timings = transcript.timings
        return msgspec.json.encode(
            TranscriptJson(
                text=transcript.text,
                language=transcript.language,
                duration=round(transcript.duration, 2),
                processing_time=round(timings.total_s - timings.queued_s, 2),
                queue_wait_time=round(timings.queued_s, 2),
                segments=segments if with_segments else None,
                warnings=warnings or UNSET,
            )
        )

    return await reply(transcript, write, warnings=warnings)


def _likeness(sent: Sent) -> int:
    return SURELY if {"file", "files"} & sent.files else PERHAPS


ENDPOINT: Final = Endpoint(
    method="POST",
    path="/transcribe",
    handler=transcribe,
    dialect=DIALECT,
    summary="Speech to text, as the werify app's server has it",
    query=QUERY,
    files=FILES,
    replies=(Reply(doc="The transcript", bodies=(TranscriptJson,)),),
)

TRANSCRIBE: Final = Way(endpoint=ENDPOINT, likeness=_likeness, answer=_answer)
