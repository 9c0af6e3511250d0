"""What a webhook says: the keys that Lexia's has, and the id under the name that its owner knows it by."""

import datetime
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from whisperd.jobs.model import Delivery, Job, JobStatus, JobType


class Failure(Struct, frozen=True, kw_only=True):
    """Why a job failed, as Lexia tells of it."""

    code: Literal["TRANSCRIPTION_ERROR", "DIARIZATION_ERROR"]
    message: str
    details: dict[str, str]
    """`code`: the cause, as in `whisperd.errors`."""
    retryable: bool


class Payload(Struct, frozen=True, kw_only=True):
    """The body; the same in every attempt."""

    event: Literal["job.completed", "job.failed"]
    timestamp: datetime.datetime
    """When it happened."""
    job_id: str
    transcription_id: str | UnsetType = UNSET
    diarization_id: str | UnsetType = UNSET
    job_type: JobType
    status: JobStatus
    completed_at: datetime.datetime | None
    result_url: str | None
    """The path of the result on this server."""
    error: Failure | UnsetType = UNSET


def payload(delivery: Delivery, job: Job) -> bytes:
    """The body of a webhook, JSON."""
    is_diarization = job.type == "diarization"
    place = "diarization" if is_diarization else "transcriptions"
    failure = job.error and Failure(
        code="DIARIZATION_ERROR" if is_diarization else "TRANSCRIPTION_ERROR",
        message=job.error.message,
        details={"code": job.error.code},
        retryable=job.error.retryable,
    )
    return msgspec.json.encode(
        Payload(
            event=delivery.event,
            timestamp=delivery.created_at,
            job_id=job.id,
            transcription_id=UNSET if is_diarization else job.id,
            diarization_id=job.id if is_diarization else UNSET,
            job_type=job.type,
            status=job.status,
            completed_at=job.completed_at,
            result_url=f"/v1/{place}/{job.id}" if job.status == "completed" else None,
            error=failure or UNSET,
        )
    )
