"""A service without workers behind the real web layer: it answers at once what a test tells it to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import FormData
from aiohttp.test_utils import TestClient, TestServer

from whisperd.config.live import Live
from whisperd.errors import UnknownModel
from whisperd.media.spool import Spool
from whisperd.metrics import Metrics
from whisperd.pipeline import Listener
from whisperd.service import Service
from whisperd.status import Status, WorkerStatus
from whisperd.transcript.model import Request, Segment, Timings, Transcript, Turn, Word
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
        self.state = READY
        self.requests: list[Request] = []
        self.recordings: list[bytes] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def process(self, request: Request, listener: Listener | None = None) -> Transcript:  # noqa: ARG002
        if self.error:
            raise self.error
        if request.model not in (None, *self.models()):
            raise UnknownModel(f"no model {request.model!r} here", param="model")
        self.requests.append(request)
        self.recordings.append(request.audio.read_bytes())
        await self.may_answer.wait()
        return self.answer

    @property
    def asked(self) -> Request:
        """The one request that there was."""
        [request] = self.requests
        return request

    def status(self) -> Status:
        return self.state

    def languages(self) -> frozenset[str]:
        return frozenset({"de", "en"})

    def models(self) -> tuple[str, ...]:
        return ("tiny.en",)


@dataclass(frozen=True)
class Web:
    """The web layer on a port of its own."""

    client: TestClient[Any, Any]
    service: FakeService
    spool: Path
    live: Live

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
    app = create_app(live, service, spool, Metrics(service.status))
    server = TestServer(app)  # cancels handlers, as the daemon's runner does
    await server.start_server(access_log=None)
    async with TestClient(server) as client:
        yield Web(client, service, spool.root, live)


def form(**fields: str | list[str]) -> FormData:
    """A multipart form with a recording, and behind it the other fields."""
    data = FormData()
    data.add_field("file", RECORDING, filename="talk.wav", content_type="audio/wav")
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            data.add_field(name, value)
    return data
