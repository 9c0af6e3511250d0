"""`/v1/diarization` of Lexia's gateway: handed in and asked after, or answered at once."""

from pathlib import Path
from typing import Any, Final

from aiohttp import web
from msgspec import Struct

from whisperd.transcript.model import Priority, Request
from whisperd.web.dialects import lexia_fields
from whisperd.web.dialects.lexia_errors import dialect
from whisperd.web.dialects.lexia_fields import AUDIO, AUDIO_URL, DIARIZATION, OF_JOBS
from whisperd.web.dialects.lexia_forms import Form, replies, suffix, wanted
from whisperd.web.dialects.lexia_ids import ID, PATTERN, WAIT, find, result
from whisperd.web.dialects.lexia_replies import NOTHING, accepted, gone, shown
from whisperd.web.dialects.lexia_speakers import EXAMPLE, DiarizationJson, diarization
from whisperd.web.dialects.lexia_submit import SYNC_LIMIT, answered, hand_in, sent
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import Values
from whisperd.web.keys import CALLER, DESK
from whisperd.web.room import early

_PLACE: Final = "/v1/diarization"
_ONE: Final = f"{_PLACE}/{PATTERN}"
_FORMS: Final[tuple[Form, ...]] = ("json", "rttm")
_KNOWN: Final = (*DIARIZATION, *OF_JOBS)


class DiarizationBody(Struct, frozen=True, kw_only=True):
    """What is wanted from a recording that is fetched; null is as good as nothing."""

    audio_url: str
    speakers_expected: int | None = None
    min_speakers_expected: int | None = None
    max_speakers_expected: int | None = None
    webhook_url: str | None = None
    priority: Priority | None = None
    deadline: str | float | None = None
    metadata: dict[str, Any] | None = None


async def submit(request: web.Request) -> web.StreamResponse:
    """Take a recording."""
    spool = request.app[DESK].incoming
    async with sent(request, fields=_KNOWN, body=DiarizationBody, spool=spool) as form:
        job = await hand_in(request, form, lexia_fields.diarization(form.values, known=_KNOWN))
    return accepted(job, diarization(job, None), _PLACE)


async def get(request: web.Request) -> web.StreamResponse:
    """Show one, in the form that is wanted."""
    job = await find(request, "diarization")
    form = wanted(request, _FORMS)
    if form != "json" or job.status == "completed":
        transcript = await result(request, job)
    else:
        transcript = None
    return await shown(job, transcript, form, lambda: diarization(job, transcript))


async def delete(request: web.Request) -> web.StreamResponse:
    """Forget one, with its recording and its job, which is ended before."""
    job = await find(request, "diarization")
    await request.app[DESK].delete(job.id, request[CALLER].owner)
    return gone()


async def answer(request: web.Request) -> web.StreamResponse:
    """Tell the speakers of a recording apart at once; nothing of it is kept."""
    begins = early(request, _wanted, DIARIZATION)
    async with sent(request, fields=DIARIZATION, limit=SYNC_LIMIT, begins=begins) as form:
        asked = lexia_fields.diarization(form.values, known=DIARIZATION)
        transcript, job = await answered(request, form, asked)
    return await shown(job, transcript, "json", lambda: diarization(job, transcript))


def _wanted(_: web.Request, values: Values) -> Request:
    return lexia_fields.diarization(values, known=DIARIZATION).work.request(Path())


# ---- the endpoints -------------------------------------------------------------------------------

_DIALECT: Final = dialect("diarization")
_OF_ONE: Final = dialect("diarization", query=(WAIT,))

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path=f"{_PLACE}/sync",
        handler=answer,
        dialect=dialect("diarization", sync=True),
        summary="Who spoke when, at once, as Lexia's gateway has it",
        files=(AUDIO,),
        form=DIARIZATION,
        replies=(Reply(doc="The diarization", bodies=(DiarizationJson,)),),
    ),
    Endpoint(
        method="POST",
        path=_PLACE,
        handler=submit,
        dialect=_DIALECT,
        summary="Who spoke when as a job, as Lexia's gateway has it",
        doc="The recording comes in `audio`, or the server fetches it from `audio_url`. With a header "
        "`Idempotency-Key`, a request that is repeated is the same job.",
        files=(AUDIO,),
        urls=(AUDIO_URL,),
        form=_KNOWN,
        body=DiarizationBody,
        example={"audio_url": "https://example.com/talk.mp3", "speakers_expected": 2},
        replies=(Reply(doc="The job was taken", bodies=(DiarizationJson,), status=202),),
    ),
    Endpoint(
        method="GET",
        path=_ONE,
        handler=get,
        dialect=_OF_ONE,
        summary="A diarization",
        doc="`Accept` may ask for RTTM instead of JSON.",
        captures=(ID,),
        query=(WAIT,),
        replies=(Reply(doc="As it is now", bodies=(DiarizationJson,), example=EXAMPLE), *replies(_FORMS)),
    ),
    Endpoint(
        method="DELETE",
        path=_ONE,
        handler=delete,
        dialect=_DIALECT,
        summary="Forget a diarization, its recording and its job",
        captures=(ID,),
        replies=(NOTHING,),
    ),
    Endpoint(
        method="GET",
        path=f"{_ONE}.{{suffix:{'|'.join(_FORMS)}}}",
        handler=get,
        dialect=_OF_ONE,
        summary="A diarization in another form",
        captures=(ID, suffix(_FORMS)),
        query=(WAIT,),
        replies=(Reply(doc="`json`: all that is known", bodies=(DiarizationJson,)), *replies(_FORMS)),
    ),
)
