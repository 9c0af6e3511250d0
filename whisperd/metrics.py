"""Numbers for Prometheus, in a registry of their own."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from whisperd import __version__
from whisperd.jobs.model import JobStatus
from whisperd.status import Status, WorkerState
from whisperd.tls import Tls
from whisperd.transcript.model import Transcript

_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1800, 3600)


class Metrics:
    """Counts what is told to it, and reads the rest from the service's status when asked."""

    def __init__(
        self, status: Callable[[], Status], jobs: Callable[[], Mapping[JobStatus, int]] | None = None
    ) -> None:
        """`jobs` counts the jobs that are kept, by status."""
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "whisperd_requests",
            "Requests that ended.",
            ["dialect", "outcome", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "whisperd_request_seconds",
            "Time from a request's arrival to its answer.",
            ["dialect"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._audio_seconds = Counter(
            "whisperd_audio_seconds",
            "Length of the recordings that were answered.",
            ["dialect"],
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "whisperd_stage_seconds",
            "Time that an answered request spent in each stage.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.registry.register(_StatusCollector(status))
        if jobs:
            self.registry.register(_JobsCollector(jobs))
        ProcessCollector(registry=self.registry)

    def request_ended(self, dialect: str, outcome: str, status: int, wall_s: float) -> None:
        """Count a request."""
        self._requests.labels(dialect, outcome, str(status)).inc()
        self._request_seconds.labels(dialect).observe(wall_s)

    def answered(self, dialect: str, transcript: Transcript) -> None:
        """Count a recording, and where its time went."""
        self._audio_seconds.labels(dialect).inc(transcript.duration)
        timings = transcript.timings
        for stage, seconds in (
            ("queue", timings.queued_s),
            ("decode", timings.decode_s),
            ("transcribe", timings.transcribe_s),
            ("diarize", timings.diarize_s),
        ):
            if seconds or stage == "queue":
                self._stage_seconds.labels(stage).observe(seconds)

    def watch_certificate(self, tls: Tls) -> None:
        """Tell when the certificate in force ends."""
        Gauge(
            "whisperd_certificate_expiry_timestamp_seconds",
            "When the server's certificate ends, in seconds since 1970.",
            registry=self.registry,
        ).set_function(lambda: tls.certificate.expires_at.timestamp())

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All numbers in the format that the Accept header prefers, and its content type."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is none
            encode, content_type = choose_encoder("")
        return encode(self.registry), content_type


class _StatusCollector(Collector):
    """The service's status as gauges, read at each scrape."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status

    def describe(self) -> Iterator[Metric]:
        # Named here, so that registering does not ask for a status before there is a service.
        yield InfoMetricFamily("whisperd_build", "")

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield InfoMetricFamily("whisperd_build", "The running version.", {"version": __version__})
        yield GaugeMetricFamily("whisperd_ready", "1 when a job could run.", float(status.ready))
        yield GaugeMetricFamily("whisperd_uptime_seconds", "Time since the start.", status.uptime_s)
        yield GaugeMetricFamily("whisperd_requests_running", "Requests being worked on.", status.running)
        yield GaugeMetricFamily(
            "whisperd_requests_waiting", "Requests that wait for their turn.", status.waiting
        )
        yield from self._queues(status)
        yield from self._workers(status)

    def _queues(self, status: Status) -> Iterator[Metric]:
        labels = ["kind", "model"]
        audio = GaugeMetricFamily(
            "whisperd_queue_audio_seconds", "Length of the recordings still to do.", labels=labels
        )
        speed = GaugeMetricFamily(
            "whisperd_speed_ratio",
            "Seconds of audio done in a second, all devices together, as measured while they work.",
            labels=labels,
        )
        wait = GaugeMetricFamily(
            "whisperd_queue_seconds", "Time until they are done at that speed.", labels=labels
        )
        for queue in status.queues:
            what = [queue.kind, queue.model]
            audio.add_metric(what, queue.audio_s)
            speed.add_metric(what, queue.speed)
            wait.add_metric(what, queue.wait_s)
        yield from (audio, speed, wait)

    def _workers(self, status: Status) -> Iterator[Metric]:
        labels = ["kind", "model", "device"]
        state = GaugeMetricFamily(
            "whisperd_worker_state", "1 for the state that a worker is in.", labels=[*labels, "state"]
        )
        restarts = CounterMetricFamily(
            "whisperd_worker_restarts", "Times that a worker was started again.", labels=labels
        )
        renewals = CounterMetricFamily(
            "whisperd_worker_renewals", "Of these, those because of its memory.", labels=labels
        )
        memory = GaugeMetricFamily(
            "whisperd_worker_resident_bytes", "A worker's memory at its last ping.", labels=labels
        )
        running = GaugeMetricFamily(
            "whisperd_worker_jobs_running", "Jobs in a worker's hands.", labels=labels
        )
        waiting = GaugeMetricFamily("whisperd_worker_jobs_waiting", "Jobs that wait for it.", labels=labels)
        for worker in status.workers:
            who = [worker.kind, worker.model or "", worker.device or ""]
            for name in get_args(WorkerState):
                state.add_metric([*who, name], float(worker.state == name))
            restarts.add_metric(who, worker.restarts)
            renewals.add_metric(who, worker.renewals)
            memory.add_metric(who, worker.rss_bytes)
            running.add_metric(who, worker.running)
            waiting.add_metric(who, worker.waiting)
        yield from (state, restarts, renewals, memory, running, waiting)


class _JobsCollector(Collector):
    """How many jobs are kept, by status."""

    def __init__(self, jobs: Callable[[], Mapping[JobStatus, int]]) -> None:
        self._jobs = jobs

    def describe(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("whisperd_jobs", "")

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("whisperd_jobs", "Jobs that are kept.", labels=["status"])
        for status, number in self._jobs().items():
            jobs.add_metric([status], number)
        yield jobs
