"""A worker without a process: a test ends its jobs, and its lives."""

import asyncio

from conftest import fake_setup
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.errors import WorkerDied
from whisperd.life import Call, Progress
from whisperd.protocol import AnyJob, DecodeSetup, Event, Transcribed, TranscribeJob
from whisperd.worker import Worker


class StubWorker(Worker):
    """Transcribes on a card of the given number, as far as anybody can tell."""

    def __init__(self, live: Live, device_index: int = 0, *, up: bool = True) -> None:
        setup = fake_setup("transcribe")
        assert not isinstance(setup, DecodeSetup)
        super().__init__(
            "transcribe",
            replace(setup, device="cuda", device_index=device_index),
            live=live,
            environment={},
        )
        self.calls: list[Call] = []
        """In its hands, oldest first."""
        self.cancelled: list[Call] = []
        if up:
            self.live()

    def live(self) -> None:
        """Be ready."""
        self.state = "ready"
        self.ready.set()

    def die(self) -> None:
        """Fail what is in its hands, and stay away."""
        self.ready.clear()
        self.state = "restarting"
        self.message = "was killed by SIGKILL"
        calls, self.calls = self.calls, []
        for call in calls:
            call.result.set_exception(WorkerDied(f"the {self.name} {self.message}"))
            call.finished.set_result(None)

    def call(self, job: AnyJob, progress: Progress | None = None) -> Call:
        if not self.ready.is_set():
            raise WorkerDied(f"the {self.name} is not running")
        assert isinstance(job, TranscribeJob)
        loop = asyncio.get_running_loop()
        call = Call(len(self.calls), loop.create_future(), loop.create_future(), progress)
        self.calls.append(call)
        return call

    def cancel(self, call: Call) -> None:
        self.cancelled.append(call)

    def tell(self, position_s: float) -> None:
        """Have come so far in the oldest job."""
        call = self.calls[0]
        assert call.progress
        call.progress(Event(call.id, position_s))

    def finish(self) -> None:
        """End the oldest job."""
        call = self.calls.pop(0)
        if not call.result.cancelled():
            call.result.set_result(Transcribed("en", 1.0, []))
        call.finished.set_result(None)


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
