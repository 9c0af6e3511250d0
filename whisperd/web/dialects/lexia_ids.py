"""Ids in the paths of Lexia's gateway, and the jobs that they are of.

A job, and the transcription or diarization that comes of it, have one id. Of a job for both, each finds its
own; where a job was not asked for what the path says, there is none for that path.
"""

import uuid
from typing import Final, Literal

from aiohttp import web

from whisperd.errors import InvalidId, NoResult, UnknownJob
from whisperd.jobs.model import Job
from whisperd.transcript.model import Transcript
from whisperd.web.fields import number, text
from whisperd.web.keys import CALLER, DESK
from whisperd.web.speech import query_values

Of = Literal["job", "transcription", "diarization"]

ID: Final = text("id", "A UUID, as it was answered to who handed the recording in.", format="uuid")
PATTERN: Final = "{id:[^/.]+}"

_MAX_WAIT_S: Final = 60
_RETRY_AFTER_S: Final = 5

WAIT: Final = number(
    "wait",
    "Answer only when the job has ended, or after so many seconds.",
    minimum=0,
    maximum=_MAX_WAIT_S,
)


def job_id(request: web.Request) -> str:
    """The id in the path, as it is kept. Raises InvalidId."""
    given = request.match_info["id"]
    try:
        return str(uuid.UUID(given))
    except ValueError:
        raise InvalidId(f"Invalid ID format: {given[:60]!r} is no UUID", param="id") from None


async def find(request: web.Request, of: Of) -> Job:
    """The caller's job; with `wait` in the query, as it is after that. Raises InvalidId, UnknownJob."""
    desk, this, owner = request.app[DESK], job_id(request), request[CALLER].owner
    try:
        job = await desk.job(this, owner)
        if not _is(job, of):
            raise UnknownJob(f"the job {this} has no {of}", param="id")
        if (wait_s := query_values(request).one(WAIT)) and not job.ended:
            job = await desk.wait(this, owner, wait_s)
    except UnknownJob as error:
        raise UnknownJob(f"No {of} {this}", param="id") from error
    return job


async def result(request: web.Request, job: Job) -> Transcript:
    """What came of a job. Raises NoResult where nothing did, or did yet."""
    if job.status == "completed" and (found := await request.app[DESK].transcript(job.id, job.owner)):
        return found
    if job.ended:
        raise NoResult(f"the job {job.id} has ended as {job.status}, without a result")
    raise NoResult(f"the job {job.id} is {job.status}; it has no result yet", retry_after_s=_RETRY_AFTER_S)


def _is(job: Job, of: Of) -> bool:
    match of:
        case "transcription":
            return job.work.text
        case "diarization":
            return job.work.speakers
        case "job":
            return True
