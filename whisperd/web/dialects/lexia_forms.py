"""The forms in which results of Lexia's gateway can be had: by the suffix of a path, or by `Accept`."""

import re
from collections.abc import Sequence
from typing import Final, Literal

from aiohttp import web

from whisperd.errors import NoResult
from whisperd.jobs.model import Job
from whisperd.transcript import formats
from whisperd.transcript.model import Transcript
from whisperd.web.dialects.lexia_shapes import lettered
from whisperd.web.dialects.lexia_speakers import rttm
from whisperd.web.endpoint import Reply
from whisperd.web.fields import Field, choice

Form = Literal["json", "txt", "srt", "vtt", "rttm"]

CONTENT_TYPES: Final[dict[Form, str]] = {
    "json": "application/json",
    "txt": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "rttm": "text/x-rttm",
}
_BY_TYPE: Final[dict[str, Form]] = {
    **{content_type: form for form, content_type in CONTENT_TYPES.items()},
    "application/*": "json",
    "application/rttm": "rttm",
    "application/srt": "srt",
    "application/x-rttm": "rttm",
    "text/srt": "srt",
    "*/*": "json",
}
_QUALITY: Final = re.compile(r"0(\.[0-9]*)?|1(\.0*)?")


def suffix(allowed: Sequence[Form]) -> Field[str]:
    """The part of the path behind the dot."""
    return choice("suffix", "The form of the answer.", allowed, default=allowed[0])


def replies(allowed: Sequence[Form]) -> tuple[Reply, ...]:
    """The replies that are no JSON."""
    return tuple(
        Reply(doc=f"`{form}`: {_DOCS[form]}", content_type=CONTENT_TYPES[form])
        for form in allowed
        if form != "json"
    )


def wanted(request: web.Request, allowed: Sequence[Form]) -> Form:
    """The form that is asked for: by the path's suffix, else that of `Accept` which is liked best.

    What is not to be had is answered as JSON, as it is where nothing is said.
    """
    for form in allowed:
        if request.match_info.get("suffix") == form:
            return form
    liked: list[tuple[float, int, Form]] = []
    for number, part in enumerate(request.headers.get("Accept", "").split(",")):
        content_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        found = _BY_TYPE.get(content_type)
        if found and found in allowed and (quality := _quality(parameters)):
            liked.append((-quality, number, found))
    return min(liked)[2] if liked else "json"


def write(job: Job, transcript: Transcript, form: Form) -> bytes:
    """A result as text. Raises NoResult for a form that says who speaks, where nobody asked for that."""
    told = lettered(transcript)
    match form:
        case "srt":
            text = formats.srt(told.segments)
        case "vtt":
            text = formats.vtt(told.segments)
        case "rttm" if not job.work.speakers:
            raise NoResult(f"the job {job.id} did not ask for speakers, which is all that RTTM tells")
        case "rttm":
            text = rttm(job, sorted(told.turns, key=lambda turn: (turn.start, turn.end)))
        case _:
            text = formats.plain(told.segments) + "\n"
    return text.encode()


def _quality(parameters: Sequence[str]) -> float:
    """From 0, not wanted at all, to 1. What is no number between them counts as 0."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
    return 1.0


_DOCS: Final[dict[Form, str]] = {
    "json": "all that is known",
    "txt": "the text, where speakers are known a line for each",
    "srt": "SubRip",
    "vtt": "WebVTT",
    "rttm": "NIST's Rich Transcription Time Marked, where speakers were asked for",
}
