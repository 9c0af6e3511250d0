"""The parts of the daemon, put together in the order of their dependence."""

import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from whisperd.access.gate import Gate
from whisperd.access.usage import Use
from whisperd.codes import error_by_code
from whisperd.config.live import Live
from whisperd.egress import Egress
from whisperd.errors import WhisperdError
from whisperd.jobs.audio import Recordings
from whisperd.jobs.desk import Desk
from whisperd.jobs.model import Job
from whisperd.jobs.sqlite import open_store
from whisperd.jobs.webhook import Courier
from whisperd.lane import Lane
from whisperd.llm import LanguageModels
from whisperd.media.fetch import Fetcher
from whisperd.media.spool import Spool
from whisperd.media.transfer import Transfers
from whisperd.memory import free_bytes
from whisperd.metrics import Metrics
from whisperd.offer import Offer
from whisperd.plan import Plan, WorkerPlan
from whisperd.pool import Pool
from whisperd.scheduler import Role, Scheduler
from whisperd.service import Service
from whisperd.transcript.model import Transcript
from whisperd.web.app import create_app
from whisperd.worker import Worker


@dataclass(frozen=True, slots=True)
class Parts:
    """What the daemon brings to life, in turn."""

    scheduler: Scheduler
    service: Service
    desk: Desk
    courier: Courier
    app: web.Application


@contextlib.asynccontextmanager
async def assembled(live: Live, plan: Plan, spool: Spool, egress: Egress) -> AsyncIterator[Parts]:
    """The parts, for as long as the context is open. Raises StartError."""
    config = live.current
    scheduler = _hire(live, plan)
    offer = Offer(live, plan.store, plan.serving.model, plan.serving.device)
    service = Service(live, scheduler, offer, plan.serving)
    directory = config.paths.state / "jobs"
    store = await open_store(directory)
    recordings = Recordings(directory, needed=store.needed)
    fetcher = Fetcher(live, recordings.incoming, egress)
    gate = Gate(live)
    try:
        courier = Courier(live, store, Transfers(live, egress))

        def ended(job: Job, transcript: Transcript | None) -> None:
            gate.usage.record(_use(job, transcript))
            courier.poke()

        desk = Desk(
            live,
            store,
            recordings,
            spool=spool,
            fetcher=fetcher,
            service=service,
            running=_at_once(live, scheduler),
            ended=ended,
        )
        metrics = Metrics(service.status, jobs=desk.counts)
        app = create_app(
            live,
            service,
            spool,
            metrics,
            fetcher=Fetcher(live, spool, egress),
            gate=gate,
            desk=desk,
            models=LanguageModels(live, egress),
        )
        yield Parts(scheduler, service, desk, courier, app)
    finally:
        await fetcher.aclose()
        await store.close()


def _hire(live: Live, plan: Plan) -> Scheduler:
    def lane(planned: WorkerPlan, *, resting: bool = False) -> Lane:
        worker = Worker(planned.kind, planned.setup, live=live, environment=planned.environment)
        return Lane(
            worker, planned.slots, resting=resting, need_bytes=planned.need_bytes, speed=planned.speed
        )

    def on_demand(role: Role) -> Pool:
        return Pool([lane(planned, resting=True) for planned in plan.on_demand(role)])

    pools = {
        kind: Pool([lane(planned) for planned in workers])
        for kind, workers in itertools.groupby(plan.workers, key=lambda planned: planned.kind)
    }
    return Scheduler(pools, live=live, hire=on_demand, free_bytes=free_bytes)


def _at_once(live: Live, scheduler: Scheduler) -> int:
    """Jobs that are worked on at the same time. As many slots are left to those who wait for an answer."""
    configured = live.current.jobs.running
    return max(1, scheduler.pool(Role("transcribe")).slots // 2) if configured == "auto" else configured


def _use(job: Job, transcript: Transcript | None) -> Use:
    """The row of usage of a job that has ended."""
    ended = job.completed_at or job.created_at
    error: WhisperdError | None = error_by_code(job.error.code, job.error.message) if job.error else None
    timings = transcript.timings if transcript else None
    return Use(
        at=ended,
        owner=job.owner,
        key_id=job.key_id,
        endpoint=job.type,
        method="JOB",
        status=error.status if error else 200,
        latency_s=(ended - job.created_at).total_seconds(),
        audio_s=transcript.duration if transcript else 0.0,
        wall_s=timings.wall_s if timings else 0.0,
        device_s=timings.device_s if timings else 0.0,
    )
