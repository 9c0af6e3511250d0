"""A job as Lexia's gateway shows it."""

from collections.abc import Sequence
from typing import Any, Final, Literal

from msgspec import UNSET, Struct, UnsetType, structs

from whisperd.jobs.model import Delivery, Job, JobError, JobStatus, JobType, Progress, Stage
from whisperd.transcript.model import Notice, Priority, Transcript
from whisperd.web.dialects.lexia_shapes import Details, UtteranceJson, created, moment, ms
from whisperd.web.dialects.lexia_speakers import (
    OverlapJson,
    SpeakerJson,
    SpeakerSegmentJson,
    StatsJson,
    found,
)

_MESSAGES: Final[dict[Stage, str]] = {
    "fetching": "Downloading audio",
    "decoding": "Decoding audio",
    "transcribing": "Transcribing audio",
    "diarizing": "Processing diarization",
    "transcribing and diarizing": "Transcribing audio and diarizing speakers",
}


class ProgressJson(Struct, frozen=True, kw_only=True):
    """How far a job has come."""

    percentage: int
    stage: Stage | None
    message: str
    items_processed: int | None
    """Milliseconds of the recording that every stage is done with."""
    items_total: int | None
    """Milliseconds of the whole recording, once it is decoded."""


class ErrorJson(Struct, frozen=True, kw_only=True):
    """Why a job failed."""

    code: Literal["TRANSCRIPTION_ERROR", "DIARIZATION_ERROR"]
    message: str
    details: dict[str, str] | None
    """`code`: the cause."""
    retryable: bool
    """Whether the same request may succeed."""


class CauseJson(Struct, frozen=True, kw_only=True):
    """Why an attempt failed."""

    code: str
    message: str
    retryable: bool
    at: str | None


class ResultJson(Struct, frozen=True, kw_only=True):
    """What came of a job: the id of a transcription, or the whole of a diarization."""

    transcription_id: str | UnsetType = UNSET
    speakers: list[SpeakerJson] | UnsetType = UNSET
    segments: list[SpeakerSegmentJson] | UnsetType = UNSET
    utterances: list[UtteranceJson] | UnsetType = UNSET
    stats: StatsJson | UnsetType = UNSET
    rttm: str | UnsetType = UNSET
    overlaps: list[OverlapJson] | UnsetType = UNSET


class AttemptJson(Struct, frozen=True, kw_only=True):
    """One try at delivering a webhook."""

    at: str | None
    status_code: int | None
    """The receiver's; null when there was no answer."""
    error: str | None


class DeliveryJson(Struct, frozen=True, kw_only=True):
    """A webhook, and what became of it."""

    id: str
    """The `webhook-id` of every attempt."""
    event: str
    state: Literal["pending", "delivered", "given_up"]
    next_attempt_at: str | None
    attempts: list[AttemptJson]


class JobJson(Struct, frozen=True, kw_only=True):
    """A job; every key is always there. Its `id` is also that of what comes of it."""

    id: str
    type: JobType
    status: JobStatus
    created_at: str
    started_at: str | None
    completed_at: str | None
    progress: ProgressJson | None
    """While it is worked on, and when it is completed."""
    result_url: str | None
    """The path of the result."""
    result: ResultJson | None
    error: ErrorJson | None
    priority: Priority
    metadata: dict[str, Any] | None
    webhook_url: str | None
    user_id: str
    organization_id: str | None
    audio_url: str | None
    deadline: str | None
    """When it fails if it has not ended."""
    estimated_completion: str | None
    attempts: int
    """The one that runs now is among them."""
    causes: list[CauseJson]
    """Of the attempts that failed."""
    deliveries: list[DeliveryJson] | None
    """Its webhooks; null in lists."""
    warnings: list[Notice]
    """What of the request has no effect."""


def ticket(
    job: Job, transcript: Transcript | None = None, *, deliveries: Sequence[Delivery] | None = None
) -> JobJson:
    """The job. `transcript`: what came of it, which that of a diarization shows."""
    details = Details.of(job)
    result = None
    if job.status == "completed" and job.work.text:
        result = ResultJson(transcription_id=job.id)
    elif transcript:
        result = ResultJson(**structs.asdict(found(job, transcript)))
    return JobJson(
        id=job.id,
        type=job.type,
        status=job.status,
        created_at=created(job),
        started_at=moment(job.started_at),
        completed_at=moment(job.completed_at),
        progress=progress(job),
        result_url=result_url(job),
        result=result,
        error=error(job),
        priority=job.priority,
        metadata=details.metadata,
        webhook_url=job.webhook_url,
        user_id=job.owner,
        organization_id=job.organization_id,
        audio_url=job.source.url,
        deadline=moment(job.deadline),
        estimated_completion=estimate(job),
        attempts=job.attempts,
        causes=[cause(one) for one in job.causes],
        deliveries=None if deliveries is None else [_delivery(one) for one in deliveries],
        warnings=details.warnings,
    )


def progress(job: Job) -> ProgressJson | None:
    """How far it has come."""
    if job.status == "completed":
        return ProgressJson(
            percentage=100, stage=None, message="Completed", items_processed=None, items_total=None
        )
    return _progress(job.progress) if job.progress else None


def _progress(now: Progress) -> ProgressJson:
    return ProgressJson(
        percentage=now.percentage,
        stage=now.stage,
        message=_MESSAGES[now.stage],
        items_processed=None if now.duration_s is None else ms(now.position_s),
        items_total=None if now.duration_s is None else ms(now.duration_s),
    )


def estimate(job: Job) -> str | None:
    """When it will have ended, at the speed so far."""
    return moment(job.progress.ends_at) if job.progress else None


def result_url(job: Job) -> str | None:
    """The path of what came of it."""
    place = "transcriptions" if job.work.text else "diarization"
    return f"/v1/{place}/{job.id}" if job.status == "completed" else None


def error(job: Job) -> ErrorJson | None:
    """Why it failed for good."""
    if job.error is None:
        return None
    return ErrorJson(
        code="TRANSCRIPTION_ERROR" if job.work.text else "DIARIZATION_ERROR",
        message=job.error.message,
        details={"code": job.error.code},
        retryable=job.error.retryable,
    )


def cause(error: JobError) -> CauseJson:
    """Why an attempt failed."""
    return CauseJson(code=error.code, message=error.message, retryable=error.retryable, at=moment(error.at))


def _delivery(delivery: Delivery) -> DeliveryJson:
    return DeliveryJson(
        id=delivery.id,
        event=delivery.event,
        state=delivery.state,
        next_attempt_at=moment(delivery.due_at) if delivery.state == "pending" else None,
        attempts=[
            AttemptJson(at=moment(one.at), status_code=one.status, error=one.error)
            for one in delivery.attempts
        ],
    )


EXAMPLE: Final = {
    "id": "780512cc-4141-4df3-9e61-93fc01f36743",
    "type": "transcription",
    "status": "completed",
    "created_at": "2026-11-21T01:36:53.131716Z",
    "started_at": "2026-11-21T01:36:53.200000Z",
    "completed_at": "2026-11-21T01:36:58.000000Z",
    "progress": {
        "percentage": 100,
        "stage": None,
        "message": "Completed",
        "items_processed": None,
        "items_total": None,
    },
    "result_url": "/v1/transcriptions/780512cc-4141-4df3-9e61-93fc01f36743",
    "result": {"transcription_id": "780512cc-4141-4df3-9e61-93fc01f36743"},
    "error": None,
    "priority": "normal",
    "metadata": None,
    "webhook_url": "https://example.com/hook",
    "user_id": "u1",
    "organization_id": None,
    "audio_url": None,
    "deadline": "2026-11-28T01:36:53.131716Z",
    "estimated_completion": None,
    "attempts": 1,
    "causes": [],
    "deliveries": [
        {
            "id": "msg_780512cc",
            "event": "job.completed",
            "state": "delivered",
            "next_attempt_at": None,
            "attempts": [{"at": "2026-11-21T01:36:58.100000Z", "status_code": 200, "error": None}],
        }
    ],
    "warnings": [],
}
