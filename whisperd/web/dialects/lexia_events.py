"""`/v1/jobs/{id}/events`: what happens to a job, as server-sent events.

`status` tells of each change that is kept, `progress` how far the work has come, `segment` what was said,
and `end`, the last, of the job's end. Ids are those of `whisperd.jobs.events`, which says what those get who
come back with `Last-Event-ID`. Where the end was seen already the answer is 204, by which an `EventSource`
knows not to come back.
"""

import contextlib
from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from whisperd.jobs.events import has_seen_all
from whisperd.jobs.model import Job, JobEvent, JobStatus
from whisperd.transcript import turns
from whisperd.web.dialects.lexia_errors import dialect
from whisperd.web.dialects.lexia_ids import ID, PATTERN, find
from whisperd.web.dialects.lexia_replies import gone
from whisperd.web.dialects.lexia_shapes import renamed, segment_json
from whisperd.web.dialects.lexia_tickets import (
    ErrorJson,
    ProgressJson,
    error,
    estimate,
    progress,
    result_url,
)
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.keys import DESK
from whisperd.web.sse import Events, beating


class StatusJson(Struct, frozen=True, kw_only=True):
    """`status` and `end`."""

    job_id: str
    status: JobStatus
    attempts: int
    result_url: str | None
    error: ErrorJson | None


class MovedJson(Struct, frozen=True, kw_only=True):
    """`progress`."""

    job_id: str
    progress: ProgressJson | None
    estimated_completion: str | None


async def events(request: web.Request) -> web.StreamResponse:
    """Tell of a job until it has ended."""
    job = await find(request, "job")
    after = request.headers.get("Last-Event-ID")
    if has_seen_all(job, after):
        return gone()
    stream = Events(request)
    await stream.begin()
    if request.method == "HEAD":
        return await stream.end()
    letters: dict[str, str] = {}
    async with (
        contextlib.aclosing(request.app[DESK].events(job.id, job.owner, after)) as told,
        contextlib.aclosing(beating(told, stream)) as happening,
    ):
        async for event in happening:
            if event.segment and event.segment.speaker and not letters:
                letters = await _letters(request, job)
            data = msgspec.json.encode(_data(event, letters))
            await stream.send(data, event=_name(event), event_id=event.id or None)
    return await stream.end()


async def _letters(request: web.Request, job: Job) -> dict[str, str]:
    """Of the speakers, who have names only when the job has ended."""
    transcript = await request.app[DESK].transcript(job.id, job.owner)
    return turns.letters(transcript.turns) if transcript else {}


def _name(event: JobEvent) -> str:
    return "end" if event.kind == "status" and event.job.ended else event.kind


def _data(event: JobEvent, letters: Mapping[str, str]) -> Struct:
    if event.segment:
        return segment_json(renamed(event.segment, letters), with_words=True)
    return _moved(event.job) if event.kind == "progress" else _status(event.job)


def _status(job: Job) -> StatusJson:
    return StatusJson(
        job_id=job.id,
        status=job.status,
        attempts=job.attempts,
        result_url=result_url(job),
        error=error(job),
    )


def _moved(job: Job) -> MovedJson:
    return MovedJson(job_id=job.id, progress=progress(job), estimated_completion=estimate(job))


ENDPOINT: Final = Endpoint(
    method="GET",
    path=f"/v1/jobs/{PATTERN}/events",
    handler=events,
    dialect=dialect("job"),
    summary="What happens to a job, as it happens",
    doc="Server-sent events: `status`, `progress`, `segment` (whose speaker is known at the end alone) and "
    "`end`. With `Last-Event-ID` they go on from there.",
    captures=(ID,),
    permission="jobs",
    replies=(
        Reply(doc="The events", content_type="text/event-stream"),
        Reply(doc="All were seen", status=204, content_type=None),
    ),
)
