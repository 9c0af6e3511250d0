"""Where jobs are handed in, asked after and called off: the only door from `web/` to them."""

import contextlib
import datetime
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from whisperd.config.live import Live
from whisperd.jobs.model import Delivery, Job, JobEvent, JobStatus, JobType
from whisperd.jobs.store import Store
from whisperd.media.fetch import Fetcher
from whisperd.media.spool import Spool
from whisperd.service import Service
from whisperd.transcript.model import Segment, Transcript


class Desk:
    """Takes jobs, has them worked on, and knows how each of them fares."""

    def __init__(
        self,
        live: Live,
        store: Store,
        recordings: "Recordings",
        *,
        incoming: Spool,
        spool: Spool,
        fetcher: Fetcher,
        service: Service,
        running: int,
        ended: Callable[[], None],
    ) -> None:
        """`incoming` lies on the disk where recordings are kept, and `fetcher` writes there; `spool` is for
        what is made of a recording while it is worked on. `running` jobs are worked on at once. `ended` is
        called when a job has ended, and may owe a webhook.
        """

    async def accept(self, job: Job, recording: Path | None) -> Job:
        """Take a job: from here on it outlives whatever dies. Its recording is a file in `incoming`, which
        is gone from there then, or None where it lies at `job.source.url`.

        With an idempotency key that its owner has used before, returns the job of that time. Raises
        IdempotencyKeyReused, Unavailable when the disk is short.
        """

    async def job(self, job_id: str, owner: str) -> Job:
        """The job, with its progress while it is worked on. Raises UnknownJob."""

    async def jobs(
        self,
        owner: str,
        *,
        status: JobStatus | None = None,
        kind: JobType | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Job]:
        """The owner's jobs, newest first, with their progress."""

    async def cancel(self, job_id: str, owner: str) -> Job:
        """End a job, and free the engine. Raises UnknownJob, NotCancellable."""

    async def delete(self, job_id: str, owner: str) -> Job:
        """Forget a job and all that came of it, and free the engine; returns what it was. Raises UnknownJob."""

    async def transcript(self, job_id: str, owner: str) -> Transcript | None:
        """What came of a completed job. Raises UnknownJob."""

    def partial(self, job_id: str) -> list[Segment]:
        """The segments that were heard so far of a job that is being worked on."""

    async def wait(self, job_id: str, owner: str, timeout_s: float) -> Job:
        """The job when it has ended, or as it is after so long. Raises UnknownJob."""

    def events(self, job_id: str, owner: str, after: str | None = None) -> AsyncIterator[JobEvent]:
        """What happens to a job, until it has ended."""

    async def deliveries(self, job_id: str, owner: str) -> Sequence[Delivery]:
        """The webhooks of a job, with all attempts at them. Raises UnknownJob."""

    def counts(self) -> Mapping[JobStatus, int]:
        """How many jobs there are, by status, as of the last round."""

    @contextlib.asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """Work on jobs, and keep to their deadlines and to retention, while the context is open.

        At its end running jobs go back to the queue at once, and those who wait for one get it as it is.
        """
        yield
