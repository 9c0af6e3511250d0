"""What a job is, as it is kept and as it is told of.

Every time of day is aware, in UTC; every position and length is in seconds.
"""

import datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct, structs

from whisperd.errors import ServerDied
from whisperd.transcript.model import Detection, Priority, Request, Segment, SpeakerHints, Task

JobType = Literal["transcription", "diarization", "transcription_with_diarization"]
JobStatus = Literal["pending", "queued", "processing", "completed", "failed", "cancelled"]
"""`pending`: its recording has still to be fetched; `queued`: it waits for its turn, the first or another."""

ENDED: Final[frozenset[JobStatus]] = frozenset({"completed", "failed", "cancelled"})

Stage = Literal["fetching", "decoding", "transcribing", "diarizing", "transcribing and diarizing"]


class Source(Struct, frozen=True, kw_only=True):
    """Where the recording is: kept under its `digest`, or still at its `url`."""

    digest: str | None = None
    """SHA-256 of its bytes, hexadecimal."""
    url: str | None = None
    """Where it comes from, also after it was fetched."""
    filename: str = ""
    """The client's name for it, without directories."""
    size: int | None = None
    """Bytes."""


class Work(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wanted from the recording; the fields mean what they mean in a Request.

    Defaults are not written, so that a request has the fingerprint that it had before there was a field
    which it does not use.
    """

    text: bool = True
    task: Task = "transcribe"
    language: str | None = None
    languages: tuple[str, ...] = ()
    multilingual: bool = False
    detection: Detection = Detection()
    condition_on_previous_text: bool = False
    drop_doubted: bool = False
    words: bool = True
    speakers: bool = False
    hints: SpeakerHints = SpeakerHints()
    model: str | None = None
    prompt: str | None = None
    hotwords: str | None = None
    temperature: float | None = None
    beam_size: int | None = None

    def request(self, audio: Path) -> Request:
        """The same, of the recording at `audio`."""
        return Request(audio=audio, **structs.asdict(self))


class JobError(Struct, frozen=True, kw_only=True):
    """Why an attempt failed."""

    code: str
    """As in `whisperd.errors`."""
    message: str
    """For the owner: no path, nobody else's data."""
    retryable: bool
    at: datetime.datetime


class Progress(Struct, frozen=True, kw_only=True):
    """How far the attempt that runs now has come. Known to the daemon that runs it, never stored."""

    stage: Stage
    position_s: float = 0.0
    """What every stage has done of the recording."""
    duration_s: float | None = None
    """The whole recording; None before it is decoded."""
    ends_at: datetime.datetime | None = None
    """Estimated from the speed so far; None when that says nothing yet."""

    @property
    def percentage(self) -> int:
        """0 to 99."""
        return min(99, int(100 * self.position_s / self.duration_s)) if self.duration_s else 0


class Job(Struct, frozen=True, kw_only=True):
    """One job. Its `id` is also that of the transcription or diarization that comes of it."""

    id: str
    """A UUID, in lower case."""
    type: JobType
    status: JobStatus
    priority: Priority = "normal"
    owner: str
    organization_id: str | None = None
    key_id: str | None = None
    """The key that it was sent with."""
    source: Source
    work: Work
    details: dict[str, Any] = {}
    """What the dialect that took the job wants to read again (JSON); nobody else looks at it."""
    webhook_url: str | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None
    """Digest of all that was asked for; a repeated key must come with the same."""
    created_at: datetime.datetime
    started_at: datetime.datetime | None = None
    """Of the latest attempt."""
    completed_at: datetime.datetime | None = None
    """When it ended, however it did."""
    deadline: datetime.datetime | None = None
    """When it fails if it has not ended."""
    due_at: datetime.datetime | None = None
    """Not to be taken before this, after a failed attempt."""
    attempts: int = 0
    """Begun and not merely interrupted; the one that runs is among them."""
    causes: list[JobError] = []
    """Of the attempts that failed, in order."""
    error: JobError | None = None
    """Why it failed for good."""
    audio_duration_s: float | None = None
    revision: int = 0
    """Rises with every change that is stored."""
    began: int = 0
    """The revision with which the work on its recording last began."""
    progress: Progress | None = None

    @property
    def suspect(self) -> bool:
        """Whether the daemon may have died of it."""
        return any(cause.code == ServerDied.code for cause in self.causes)

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in ENDED


class JobEvent(Struct, frozen=True, kw_only=True):
    """Something that happened to a job."""

    id: str
    """Orders the events of one job: `REVISION`, or `REVISION.SEGMENT`. That of progress is the id of the
    event before it, so that nothing is missed by who resumes there.
    """
    kind: Literal["status", "progress", "segment"]
    job: Job
    """As it was then."""
    segment: Segment | None = None


class Attempt(Struct, frozen=True, kw_only=True):
    """One try at delivering a webhook."""

    at: datetime.datetime
    status: int | None
    """HTTP's; None when there was no answer."""
    error: str | None = None


class Delivery(Struct, frozen=True, kw_only=True):
    """A webhook that is owed: made in the same moment as the end of the job that it tells of."""

    id: str
    """The same in every attempt, so that a receiver can tell that it has it already."""
    job_id: str
    owner: str
    url: str
    event: Literal["job.completed", "job.failed"]
    state: Literal["pending", "delivered", "given_up"] = "pending"
    created_at: datetime.datetime
    due_at: datetime.datetime
    """Of the next attempt."""
    attempts: list[Attempt] = []

    @property
    def receiver(self) -> str:
        """Who receives it, as far as the URL says: its host, in lower case."""
        return urlsplit(self.url).hostname or ""
