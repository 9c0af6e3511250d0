"""A service without workers behind the real web layer: it answers at once what a test tells it to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import FormData
from aiohttp.test_utils import TestClient, TestServer

from whisperd.access.gate import Gate
from whisperd.config.live import Live
from whisperd.egress import Egress, read
from whisperd.errors import UnknownModel, UrlNotFound, WhisperdError
from whisperd.jobs.audio import Recordings
from whisperd.jobs.desk import Desk
from whisperd.jobs.sqlite import open_store
from whisperd.llm import LanguageModels
from whisperd.media.fetch import Fetcher
from whisperd.media.spool import Spool
from whisperd.metrics import Metrics
from whisperd.pipeline import Listener
from whisperd.protocol import Kind
from whisperd.service import Service
from whisperd.status import Status, Tally, WorkerStatus
from whisperd.transcript.model import Notice, Request, Segment, Timings, Transcript, Turn, Word
from whisperd.web.app import create_app

RECORDING = b"RIFF, and what else a recording has\x00\xff"

TRANSCRIPT = Transcript(
    duration=5.24,
    language="en",
    language_probability=0.98,
    segments=[
        Segment(
            id=0,
            start=0.004,
            end=2.496,
            text=" Hello world.",
            words=[Word(" Hello", 0.004, 1.2, 0.9), Word(" world.", 1.2, 2.496, 0.8)],
            tokens=[1, 2, 3],
            avg_logprob=-0.25,
            compression_ratio=1.1,
            no_speech_prob=0.01,
        ),
        Segment(
            id=1, start=3.0, end=5.0, text=" Good-bye.", words=[Word(" Good-bye.", 3.0, 5.0, 0.7)], tokens=[4]
        ),
    ],
    model="tiny.en",
    device="cpu",
    compute_type="int8",
    timings=Timings(queued_s=0.504, decode_s=0.1, transcribe_s=1.4, total_s=2.007),
)

SPOKEN = Transcript(
    duration=5.24,
    language="en",
    segments=[
        Segment(
            id=0,
            start=0.0,
            end=2.5,
            text=" Hello world.",
            words=[Word(" Hello world.", 0.0, 2.5, 0.9, "SPEAKER_01")],
            speaker="SPEAKER_01",
        ),
        Segment(id=1, start=3.0, end=5.0, text=" Good-bye.", speaker="SPEAKER_00"),
    ],
    turns=[Turn(0.0, 2.5, "SPEAKER_01"), Turn(2.25, 5.0, "SPEAKER_00")],
    model="tiny.en",
    device="cpu",
    timings=Timings(decode_s=0.1, transcribe_s=1.4, diarize_s=1.0, total_s=1.6),
)

MIXED = Transcript(
    duration=5.0,
    language="en",
    segments=[
        Segment(id=0, start=0.0, end=2.0, text=" La la la.", doubts=["repeated", "no_voice"]),
        Segment(id=1, start=2.0, end=5.0, text=" Guten Tag.", language="de"),
    ],
    warnings=[Notice("text_doubted", "segments that may not be what was said: 1 of 2 (repeated, no_voice)")],
)
"""Two languages, one of them in doubt."""

READY = Status(
    ready=True,
    reason=None,
    draining=False,
    version="1.2.3",
    uptime_s=12.3456,
    running=1,
    waiting=2,
    workers=[
        WorkerStatus(kind="decode", state="ready", pid=11),
        WorkerStatus(
            kind="transcribe", state="ready", pid=12, model="tiny.en", device="cpu", compute_type="int8"
        ),
        WorkerStatus(kind="diarize", state="ready", pid=13, model="diarization", device="cpu"),
    ],
)


class FakeService(Service):
    """What `web/` calls of a service; remembers what it was asked."""

    def __init__(self) -> None:
        self.answer = TRANSCRIPT
        self.error: Exception | None = None
        self.full: WhisperdError | None = None
        """Refuses whoever is not patient."""
        self.late_error: Exception | None = None
        """Raised when the segments were told of already."""
        self.state = READY
        self.tally = Tally()
        self.requests: list[Request] = []
        self.recordings: list[bytes] = []
        self.voices: list[bytes] = []
        self.translations: list[tuple[str, str, str]] = []
        self.silence_s: list[float] = []
        self.delays_s: list[float] = []
        self.sample_rate_hz: int | None = None
        self.unloaded: list[Kind] = []
        self.cancelled = 0
        """Requests that were given up while they waited for `may_answer`."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    def check(self, request: Request) -> None:
        if request.model not in (None, *self.models()):
            raise UnknownModel(f"no model {request.model!r} here", param="model")

    def check_room(self, request: Request) -> None:
        if self.full and not request.patient:
            raise self.full

    def check_room_for_any(self, client: str) -> None:  # noqa: ARG002
        if self.full:
            raise self.full

    async def process(self, request: Request, listener: Listener | None = None) -> Transcript:
        self.check_room(request)
        self._fail()
        self.check(request)
        self.requests.append(request)
        self.recordings.append(request.audio.read_bytes())
        self.voices += [known.audio.read_bytes() for known in request.known_speakers]
        if listener:
            listener.decoded(self.answer.duration)
            for segment in self.answer.segments:
                listener.heard(segment)
                listener.moved(segment.end)
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.late_error:
            raise self.late_error
        return self.answer

    async def translate(self, text: str, source: str, target: str, *, patient: bool = False) -> str:  # noqa: ARG002
        self._fail()
        self.translations.append((text, source, target))
        return f"{text} ({source} to {target})"

    async def pad(self, source: Path, target: Path, silence_s: float, *, patient: bool = False) -> float:  # noqa: ARG002
        self._fail()
        self._write(target, b"padded", [source])
        self.silence_s.append(silence_s)
        return silence_s + TRANSCRIPT.duration

    async def mix(
        self,
        sources: Sequence[Path],
        target: Path,
        delays_s: Sequence[float],
        sample_rate_hz: int | None,
        *,
        patient: bool = False,  # noqa: ARG002
    ) -> float:
        self._fail()
        self._write(target, b"mixed", sources)
        self.delays_s += delays_s
        self.sample_rate_hz = sample_rate_hz
        return max(delays_s) + TRANSCRIPT.duration

    async def unload(self, kind: Kind) -> list[str]:
        self._fail()
        self.unloaded.append(kind)
        return [worker.model for worker in self.state.workers if worker.kind == kind and worker.model]

    def _fail(self) -> None:
        if self.error:
            raise self.error

    def _write(self, target: Path, what: bytes, sources: Sequence[Path]) -> None:
        self.recordings += [source.read_bytes() for source in sources]
        target.write_bytes(what)

    @property
    def asked(self) -> Request:
        """The one request that there was."""
        [request] = self.requests
        return request

    def status(self) -> Status:
        return self.state

    def models(self) -> tuple[str, ...]:
        return ("tiny.en", "base")


class FakeFetcher(Fetcher):
    """What `web/` calls of a fetcher: URLs that a test made up."""

    def __init__(self, spool: Spool) -> None:
        self.error: Exception | None = None
        self.files: dict[str, bytes] = {}
        self.may_come = asyncio.Event()
        self.may_come.set()
        self._spool = spool

    @contextlib.asynccontextmanager
    async def recording(self, url: str) -> AsyncIterator[Path]:
        if self.error:
            raise self.error
        if url not in self.files:
            raise UrlNotFound("nothing is there")
        await self.may_come.wait()
        with self._spool.directory() as directory:
            path = directory / "upload"
            path.write_bytes(self.files[url])
            yield path

    async def put(self, url: str, path: Path) -> None:
        if self.error:
            raise self.error
        self.files[url] = await asyncio.to_thread(path.read_bytes)

    async def aclose(self) -> None:
        pass


@dataclass(frozen=True)
class Web:
    """The web layer on a port of its own."""

    client: TestClient[Any, Any]
    service: FakeService
    fetcher: FakeFetcher
    spool: Path
    live: Live
    gate: Gate
    desk: Desk

    @property
    def url(self) -> str:
        return str(self.client.make_url("/"))

    def spooled(self) -> list[Path]:
        return list(self.spool.iterdir())


@contextlib.asynccontextmanager
async def serving(live: Live) -> AsyncIterator[Web]:
    """The application as the daemon runs it, handlers' cancellation included, with a fake service."""
    service = FakeService()
    spool = Spool(live.current.paths.spool)
    spool.sweep()
    fetcher = FakeFetcher(spool)
    gate = Gate(live)
    metrics = Metrics(service.status)
    async with waiting_for_jobs(live, service, spool, fetcher) as desk:
        app = create_app(
            live,
            service,
            spool,
            metrics,
            fetcher=fetcher,
            gate=gate,
            desk=desk,
            models=LanguageModels(live, Egress(read(live.current.fetch))),
        )
        server = TestServer(app)  # cancels handlers, as the daemon's runner does
        await server.start_server(access_log=None)
        async with TestClient(server) as client:
            yield Web(client, service, fetcher, spool.root, live, gate, desk)


@contextlib.asynccontextmanager
async def waiting_for_jobs(
    live: Live, service: Service, spool: Spool, fetcher: Fetcher
) -> AsyncIterator[Desk]:
    """The desk as the daemon has it, with a store of its own."""
    directory = live.current.paths.state / "jobs"
    store = await open_store(directory)
    try:
        desk = Desk(
            live,
            store,
            Recordings(directory, needed=store.needed),
            spool=spool,
            fetcher=fetcher,
            service=service,
            running=2,
            ended=lambda *_: None,
        )
        async with desk.tended():
            yield desk
    finally:
        await store.close()


def form(carrier: str = "file", /, **fields: str | list[str]) -> FormData:
    """A multipart form with a recording in `carrier`, and behind it the other fields."""
    data = FormData()
    data.add_field(carrier, RECORDING, filename="talk.wav", content_type="audio/wav")
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            data.add_field(name, value)
    return data
