"""`POST /v1/audio/diarization`: who spoke when, without the text."""

from pathlib import Path, PurePath
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType, structs

from whisperd.transcript import formats
from whisperd.transcript.model import Notice, Request, Turn
from whisperd.web.dialects.openai_errors import ErrorBody, render_error
from whisperd.web.endpoint import Dialect, Endpoint, Reply
from whisperd.web.fields import Field, FileField, Values, choice
from whisperd.web.room import early
from whisperd.web.speech import HINTS, ignored, process, reply, speaker_hints
from whisperd.web.uploads import receive

DIALECT: Final = Dialect(name="whisperd", render_error=render_error, error=ErrorBody, always=True)


class DiarizationJson(Struct, frozen=True, kw_only=True):
    """`response_format=json`: turns may overlap; seconds."""

    duration: float
    speakers: list[str]
    """In the order in which they first speak."""
    segments: list[Turn]
    warnings: list[Notice] | UnsetType = UNSET


RESPONSE_FORMAT: Final = choice(
    "response_format", "What the answer looks like.", ("json", "rttm"), default="json"
)
FILE: Final = FileField(name="file")
FORM: Final[tuple[Field[Any], ...]] = (RESPONSE_FORMAT, *HINTS)


async def diarize(request: web.Request) -> web.StreamResponse:
    """Tell the speakers of one recording apart."""
    begins = early(request, _wanted, FORM)
    async with receive(request, files=(FILE,), fields=FORM, begins=begins) as form:
        recording = form.recording()
        shape = form.values.one(RESPONSE_FORMAT)
        wanted = structs.replace(_wanted(request, form.values), audio=recording.path)
        transcript = await process(request, wanted)
    warnings = ignored(form.values, known=FORM) + transcript.warnings

    def write() -> bytes:
        if shape == "rttm":
            return formats.rttm(transcript.turns, PurePath(recording.filename).stem).encode()
        return msgspec.json.encode(
            DiarizationJson(
                duration=transcript.duration,
                speakers=list(dict.fromkeys(turn.speaker for turn in transcript.turns)),
                segments=transcript.turns,
                warnings=warnings or UNSET,
            )
        )

    return await reply(
        transcript,
        write,
        content_type="text/plain" if shape == "rttm" else "application/json",
        warnings=warnings,
    )


def _wanted(_: web.Request, values: Values) -> Request:
    return Request(audio=Path(), text=False, speakers=True, hints=speaker_hints(values))


ENDPOINT: Final = Endpoint(
    method="POST",
    path="/v1/audio/diarization",
    handler=diarize,
    dialect=DIALECT,
    summary="Who spoke when",
    files=(FILE,),
    form=FORM,
    replies=(
        Reply(doc="The turns", bodies=(DiarizationJson,)),
        Reply(doc="`rttm`: NIST's Rich Transcription Time Marked", content_type="text/plain"),
    ),
)
