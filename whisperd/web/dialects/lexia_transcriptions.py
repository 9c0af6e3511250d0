"""`/v1/transcriptions` of Lexia's gateway: handed in and asked after, or answered at once."""

from pathlib import Path
from typing import Any, Final

from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from whisperd.transcript.model import Priority, Request
from whisperd.web.dialects import lexia_fields
from whisperd.web.dialects.lexia_errors import dialect
from whisperd.web.dialects.lexia_fields import AUDIO, AUDIO_URL, OF_JOBS, TRANSCRIPTION
from whisperd.web.dialects.lexia_forms import Form, replies, suffix, wanted
from whisperd.web.dialects.lexia_ids import ID, PATTERN, WAIT, find, result
from whisperd.web.dialects.lexia_replies import NOTHING, accepted, gone, shown
from whisperd.web.dialects.lexia_submit import SYNC_LIMIT, answered, hand_in, sent
from whisperd.web.dialects.lexia_transcripts import (
    COMPLETED,
    QUEUED,
    QueuedJson,
    TranscriptionJson,
    queued,
    transcription,
)
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import Values, flag
from whisperd.web.keys import CALLER, DESK
from whisperd.web.room import early
from whisperd.web.speech import query_values

_PLACE: Final = "/v1/transcriptions"
_ONE: Final = f"{_PLACE}/{PATTERN}"
_FORMS: Final[tuple[Form, ...]] = ("json", "txt", "srt", "vtt", "rttm")
_KNOWN: Final = (*TRANSCRIPTION, *OF_JOBS)
_PARTIAL: Final = flag("partial", "While it is worked on, answer with the text so far.")
_QUERY: Final = (WAIT, _PARTIAL)


class TranscriptionBody(Struct, frozen=True, kw_only=True):
    """What is wanted from a recording that is fetched; null is as good as nothing."""

    audio_url: str
    language_code: str | None = None
    language_detection: bool | None = None
    languages: list[str] | None = None
    multilingual: bool | None = None
    punctuate: bool | None = None
    format_text: bool | None = None
    speaker_labels: bool | None = None
    speakers_expected: int | None = None
    min_speakers_expected: int | None = None
    max_speakers_expected: int | None = None
    word_timestamps: bool | None = None
    prompt: str | None = None
    condition_on_previous_text: bool | None = None
    hotwords: str | None = None
    model: str | None = None
    drop_doubted: bool | None = None
    webhook_url: str | None = None
    priority: Priority | None = None
    deadline: str | float | None = None
    metadata: dict[str, Any] | None = None


async def submit(request: web.Request) -> web.StreamResponse:
    """Take a recording."""
    spool = request.app[DESK].incoming
    async with sent(request, fields=_KNOWN, body=TranscriptionBody, spool=spool) as form:
        job = await hand_in(request, form, lexia_fields.transcription(form.values, known=_KNOWN))
    return accepted(job, queued(job), _PLACE)


async def get(request: web.Request) -> web.StreamResponse:
    """Show one, in the form that is wanted."""
    desk, job = request.app[DESK], await find(request, "transcription")
    form = wanted(request, _FORMS)
    if form != "json" or job.status == "completed":
        transcript = await result(request, job)
    else:
        transcript = None
    partial = query_values(request).one(_PARTIAL) and job.status == "processing"
    heard = desk.partial(job.id) if partial else None
    deliveries = await desk.deliveries(job.id, job.owner) if job.webhook_url and job.ended else ()
    return await shown(
        job,
        transcript,
        form,
        lambda: transcription(job, transcript, heard=heard, deliveries=deliveries),
    )


async def delete(request: web.Request) -> web.StreamResponse:
    """Forget one, with its recording and its job, which is ended before."""
    job = await find(request, "transcription")
    await request.app[DESK].delete(job.id, request[CALLER].owner)
    return gone()


async def answer(request: web.Request) -> web.StreamResponse:
    """Transcribe a recording at once; nothing of it is kept."""
    begins = early(request, _wanted, TRANSCRIPTION)
    async with sent(request, fields=TRANSCRIPTION, limit=SYNC_LIMIT, begins=begins) as form:
        asked = lexia_fields.transcription(form.values, known=TRANSCRIPTION)
        transcript, job = await answered(request, form, asked)
    return await shown(
        job, transcript, "json", lambda: replace(transcription(job, transcript), segments=None)
    )


def _wanted(_: web.Request, values: Values) -> Request:
    return lexia_fields.transcription(values, known=TRANSCRIPTION).work.request(Path())


# ---- the endpoints -------------------------------------------------------------------------------

_DIALECT: Final = dialect("transcription")
_OF_ONE: Final = dialect("transcription", query=_QUERY)

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path=f"{_PLACE}/sync",
        handler=answer,
        dialect=dialect("transcription", sync=True),
        summary="Speech to text at once, as Lexia's gateway has it",
        files=(AUDIO,),
        form=TRANSCRIPTION,
        replies=(Reply(doc="The transcription, without segments", bodies=(TranscriptionJson,)),),
    ),
    Endpoint(
        method="POST",
        path=_PLACE,
        handler=submit,
        dialect=_DIALECT,
        summary="Speech to text as a job, as Lexia's gateway has it",
        doc="The recording comes in `audio`, or the server fetches it from `audio_url`. With a header "
        "`Idempotency-Key`, a request that is repeated is the same job.",
        files=(AUDIO,),
        urls=(AUDIO_URL,),
        form=_KNOWN,
        body=TranscriptionBody,
        example={"audio_url": "https://example.com/talk.mp3", "language_code": "fr", "speaker_labels": True},
        replies=(Reply(doc="The job was taken", bodies=(QueuedJson,), status=202, example=QUEUED),),
    ),
    Endpoint(
        method="GET",
        path=_ONE,
        handler=get,
        dialect=_OF_ONE,
        summary="A transcription",
        doc="`Accept` may ask for another form than JSON.",
        captures=(ID,),
        query=_QUERY,
        replies=(
            Reply(doc="As it is now", bodies=(TranscriptionJson,), example=COMPLETED),
            *replies(_FORMS),
        ),
    ),
    Endpoint(
        method="DELETE",
        path=_ONE,
        handler=delete,
        dialect=_DIALECT,
        summary="Forget a transcription, its recording and its job",
        captures=(ID,),
        replies=(NOTHING,),
    ),
    Endpoint(
        method="GET",
        path=f"{_ONE}.{{suffix:{'|'.join(_FORMS)}}}",
        handler=get,
        dialect=_OF_ONE,
        summary="A transcription in another form",
        captures=(ID, suffix(_FORMS)),
        query=_QUERY,
        replies=(
            Reply(doc="`json`: all that is known", bodies=(TranscriptionJson,)),
            *replies(_FORMS),
        ),
    ),
)
