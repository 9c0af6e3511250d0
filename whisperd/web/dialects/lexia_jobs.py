"""`/v1/jobs` of Lexia's gateway: the caller's jobs, to be looked at and called off."""

import asyncio
from typing import Final, get_args

import msgspec
from aiohttp import web

from whisperd.errors import UnknownJob
from whisperd.jobs.desk import Desk
from whisperd.jobs.model import Job, JobStatus, JobType
from whisperd.transcript.model import Transcript
from whisperd.web.bodies import json_reply
from whisperd.web.dialects.lexia_errors import dialect
from whisperd.web.dialects.lexia_ids import ID, PATTERN, WAIT, find, job_id
from whisperd.web.dialects.lexia_replies import NOTHING, gone
from whisperd.web.dialects.lexia_tickets import EXAMPLE, JobJson, ticket
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import Field, integer
from whisperd.web.keys import CALLER, DESK
from whisperd.web.speech import query_values

_DEFAULT_LIMIT: Final = 50
_MAX_LIMIT: Final = 100
_MAX_OFFSET: Final = 10**8


def _one_of(name: str, doc: str, allowed: tuple[str, ...]) -> Field[str | None]:
    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(", ".join(allowed))
        return value

    return Field(name=name, doc=doc, kind="string", parse=parse, default=None, schema={"enum": list(allowed)})


STATUS: Final = _one_of("status", "Jobs of this status alone.", get_args(JobStatus))
JOB_TYPE: Final = _one_of("job_type", "Jobs of this type alone.", get_args(JobType))
LIMIT: Final = integer(
    "limit", f"At most so many; {_DEFAULT_LIMIT} by default.", minimum=1, maximum=_MAX_LIMIT
)
OFFSET: Final = integer("offset", "Leave out so many of the newest.", minimum=0, maximum=_MAX_OFFSET)
_FILTERS: Final = (STATUS, JOB_TYPE, LIMIT, OFFSET)


async def find_all(request: web.Request) -> web.StreamResponse:
    """List the caller's jobs, the newest first."""
    values, desk = query_values(request), request.app[DESK]
    jobs = await desk.jobs(
        request[CALLER].owner,
        status=msgspec.convert(values.one(STATUS), JobStatus | None),
        kind=msgspec.convert(values.one(JOB_TYPE), JobType | None),
        limit=values.one(LIMIT) or _DEFAULT_LIMIT,
        offset=values.one(OFFSET) or 0,
    )
    results = await asyncio.gather(*(_result(desk, job) for job in jobs))
    return json_reply([ticket(job, transcript) for job, transcript in zip(jobs, results, strict=True)])


async def get(request: web.Request) -> web.StreamResponse:
    """Show a job."""
    desk, job = request.app[DESK], await find(request, "job")
    deliveries = await desk.deliveries(job.id, job.owner) if job.webhook_url else ()
    return json_reply(ticket(job, await _result(desk, job), deliveries=deliveries))


async def cancel(request: web.Request) -> web.StreamResponse:
    """End a job that has not ended."""
    await request.app[DESK].cancel(job_id(request), request[CALLER].owner)
    return gone()


async def _result(desk: Desk, job: Job) -> Transcript | None:
    """What came of it, where the job itself shows that: a diarization."""
    if job.status != "completed" or job.work.text:
        return None
    try:
        return await desk.transcript(job.id, job.owner)
    except UnknownJob:  # deleted since it was listed
        return None


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/jobs",
        handler=find_all,
        dialect=dialect("job", query=_FILTERS),
        summary="The caller's jobs, the newest first",
        query=_FILTERS,
        permission="jobs",
        replies=(
            Reply(doc="The jobs", bodies=(JobJson,), many=True, example=[EXAMPLE | {"deliveries": None}]),
        ),
    ),
    Endpoint(
        method="GET",
        path=f"/v1/jobs/{PATTERN}",
        handler=get,
        dialect=dialect("job", query=(WAIT,)),
        summary="A job",
        captures=(ID,),
        query=(WAIT,),
        permission="jobs",
        replies=(Reply(doc="As it is now", bodies=(JobJson,), example=EXAMPLE),),
    ),
    Endpoint(
        method="DELETE",
        path=f"/v1/jobs/{PATTERN}",
        handler=cancel,
        dialect=dialect("job"),
        summary="Cancel a job that has not ended",
        doc="What is known of it stays; to forget it, delete the transcription or the diarization.",
        captures=(ID,),
        permission="jobs",
        replies=(NOTHING,),
    ),
)
