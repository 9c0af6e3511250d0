"""The one door in front of where jobs are kept.

Nothing outside knows what is behind it. Every step can be asked for again after a crash: a step names the
`attempt` that it belongs to, and does nothing when the job has gone on without it.
"""

import datetime
from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from whisperd.jobs.model import Attempt, Delivery, Job, JobError, JobStatus, JobType, Source
from whisperd.transcript.model import Transcript


class Recovered(NamedTuple):
    """What a start found running."""

    released: int
    """So many were given back."""
    left: Sequence[Job]
    """These were not."""


class Store(Protocol):
    """Keeps jobs, their transcripts, and the webhooks that are owed. What is raised beside what is said here:
    Unavailable when the disk is full.
    """

    # ---- owners ----------------------------------------------------------------------------------

    async def add(self, job: Job) -> Job:
        """Keep a new job; it outlives a loss of power from here on.

        With an idempotency key that its owner has used before, returns the job of that time, or raises
        IdempotencyKeyReused when that one asked for something else.
        """

    async def get(self, job_id: str, owner: str) -> Job:
        """Raises UnknownJob where there is none of this owner's."""

    async def list(
        self,
        owner: str,
        *,
        status: JobStatus | None = None,
        kind: JobType | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Job]:
        """The owner's jobs, newest first."""

    async def transcript(self, job_id: str) -> Transcript | None:
        """What came of a completed job."""

    async def cancel(self, job_id: str, owner: str, *, at: datetime.datetime) -> Job:
        """End a job that has not ended. Raises UnknownJob, NotCancellable."""

    async def delete(self, job_id: str, owner: str) -> Job:
        """Forget a job, its transcript and its deliveries; returns what it was. Raises UnknownJob."""

    # ---- the runner ------------------------------------------------------------------------------

    async def recover(self, *, but: Collection[str] = ()) -> Recovered:
        """After a start: give back the jobs that were running, without counting the attempt. Those with an
        id of `but` stay as they are.
        """

    async def claim(
        self, *, at: datetime.datetime, fetched: bool = False, trusted: bool = False
    ) -> Job | None:
        """Take the next job that is due: the highest priority, of that the oldest. Counts an attempt, which
        `began` with this revision. `fetched`: of those alone whose recording need not be fetched; `trusted`:
        of those alone that are no suspects. One that would be due in more than a day was put off by a clock
        that was wrong, and is due now.
        """

    async def next_due(self, *, fetched: bool = False, trusted: bool = False) -> datetime.datetime | None:
        """When the next of the jobs that wait for another attempt is due; of which, as above."""

    async def overdue(self, *, at: datetime.datetime) -> Sequence[Job]:
        """Jobs that have not ended and whose deadline has passed."""

    async def fetched(self, job_id: str, attempt: int, source: Source) -> Job | None:
        """The recording was fetched and is kept: with it the job waits for its turn, and for the same attempt
        once more. None when the job went on without this attempt.
        """

    async def complete(
        self, job_id: str, attempt: int, transcript: Transcript, *, at: datetime.datetime
    ) -> Job | None:
        """Keep the transcript, end the job and owe its webhook, all at once. None as above."""

    async def fail(self, job_id: str, attempt: int, error: JobError) -> Job | None:
        """End the job, whatever it does, and owe its webhook. The error is its `error`, and among its
        `causes` if it was being worked on. None as above.
        """

    async def retry(
        self, job_id: str, attempt: int, error: JobError, *, due_at: datetime.datetime
    ) -> Job | None:
        """The attempt failed; there will be another. None as above."""

    async def release(
        self, job_id: str, attempt: int, *, due_at: datetime.datetime | None = None
    ) -> Job | None:
        """The attempt was interrupted, and does not count; the next not before `due_at`. None as above."""

    # ---- webhooks --------------------------------------------------------------------------------

    async def owed(
        self,
        *,
        at: datetime.datetime,
        limit: int,
        without: Collection[str] = (),
        latest: datetime.datetime | None = None,
    ) -> Sequence[Delivery]:
        """Deliveries that are due, the longest due first; none to a `Delivery.receiver` of `without`. One
        after the `latest` that can be was put off by a clock that was wrong, and is due.
        """

    async def next_delivery_due(self, *, after: datetime.datetime) -> datetime.datetime | None:
        """When the first of the deliveries that are due later than `after` is due."""

    async def tried(self, delivery: Delivery, attempt: Attempt, *, due_at: datetime.datetime | None) -> None:
        """Note an attempt: delivered if its status is 2xx, else due again, or given up where that is None."""

    async def deliveries(self, job_id: str) -> Sequence[Delivery]:
        """All of a job's, oldest first."""

    # ---- retention -------------------------------------------------------------------------------

    async def ended_before(
        self, at: datetime.datetime, *, limit: int, with_audio: bool = False
    ) -> Sequence[Job]:
        """Jobs that ended before this, the longest ended first: those whose recording is kept, or those
        that owe no webhook.
        """

    async def forget_audio(self, job_id: str) -> None:
        """Note that the job no longer needs its recording."""

    async def needed(self, digest: str) -> bool:
        """Whether a job needs the recording."""

    async def counts(self) -> dict[JobStatus, int]:
        """How many jobs there are, by status."""

    async def close(self) -> None:
        """Write what is left."""
