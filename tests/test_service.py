"""The door to the engine: what is admitted, what is answered, what is lost to whom."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import changed, fake_worker, scheduler_of, until
from msgspec import structs

from whisperd.config.live import Live
from whisperd.config.units import Duration
from whisperd.errors import (
    DeadlineExceeded,
    Draining,
    MediaError,
    NotReady,
    OutOfMemory,
    ParameterError,
    QueueFull,
    UnknownModel,
    WorkerDied,
)
from whisperd.lane import Lane
from whisperd.models.store import Store
from whisperd.offer import Offer
from whisperd.protocol import Kind
from whisperd.service import Service, Serving
from whisperd.transcript.model import KnownSpeaker, Notice, Request, Segment, SpeakerHints

KINDS: Final[tuple[Kind, ...]] = ("decode", "transcribe", "diarize")
CPU_NOTE = Notice("cpu_only", "no GPU")


def serving(diarization: str | None = "diarization") -> Serving:
    return Serving(
        model="fake",
        device="cpu",
        diarization=diarization,
        notes=(CPU_NOTE,),
    )


@contextlib.asynccontextmanager
async def running(
    live: Live, *, slots: int = 4, ready: bool = True, diarization: str | None = "diarization"
) -> AsyncIterator[Service]:
    async with contextlib.AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(fake_worker(live, kind)) for kind in KINDS]
        if ready:
            for worker in workers:
                await worker.ready.wait()
        lanes = {worker.kind: Lane(worker, slots) for worker in workers}
        offer = Offer(live, Store(live.current.paths.state), "fake", "cpu")
        yield Service(live, scheduler_of(lanes, live), offer, serving(diarization))


class Ears:
    """Remembers what was heard."""

    def __init__(self) -> None:
        self.duration_s: float | None = None
        self.positions: list[float] = []
        self.segments: list[Segment] = []

    def decoded(self, duration_s: float) -> None:
        self.duration_s = duration_s

    def moved(self, position_s: float) -> None:
        self.positions.append(position_s)

    def heard(self, segment: Segment) -> None:
        self.segments.append(segment)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "ok.wav"
    path.touch()
    return path


async def test_words_segments_and_turns_carry_their_speaker(live: Live, recording: Path) -> None:
    async with running(live) as service:
        transcript = await service.process(Request(audio=recording, speakers=True))
        assert [(word.text, word.speaker) for word in transcript.words] == [
            (" Hello", "SPEAKER_00"),
            (" there.", "SPEAKER_01"),
        ]
        assert [segment.speaker for segment in transcript.segments] == ["SPEAKER_00", "SPEAKER_01"]
        assert [turn.speaker for turn in transcript.turns] == ["SPEAKER_00", "SPEAKER_01"]
        assert transcript.duration == 10.0
        assert transcript.warnings == []


async def test_doubts_about_the_text_and_what_was_left_out_for_them_are_told(
    live: Live, recording: Path
) -> None:
    async with running(live) as service:
        transcript = await service.process(Request(audio=recording, prompt="doubted"))
        assert [(notice.code, notice.message) for notice in transcript.warnings] == [
            ("text_doubted", "segments that may not be what was said: 1 of 2 (repeated, no_voice)")
        ]
        request = Request(audio=recording, prompt="doubted", drop_doubted=True)
        transcript = await service.process(request)
        assert [(notice.code, notice.message) for notice in transcript.warnings] == [
            ("text_dropped", "segments left out because they may not be what was said: 1")
        ]


async def test_a_failed_diarization_costs_the_speakers_and_not_the_text(live: Live, recording: Path) -> None:
    async with running(live) as service:
        request = Request(audio=recording, speakers=True, hints=SpeakerHints(exactly=13))
        transcript = await service.process(request)
        assert transcript.text == "Hello there."
        assert [warning.code for warning in transcript.warnings] == ["diarization_failed"]
        assert transcript.turns == []


async def test_a_failed_diarization_without_text_is_an_error(live: Live, recording: Path) -> None:
    async with running(live) as service:
        request = Request(audio=recording, text=False, speakers=True, hints=SpeakerHints(exactly=13))
        with pytest.raises(OutOfMemory):
            await service.process(request)


async def test_a_failed_transcription_takes_the_diarization_with_it(live: Live, recording: Path) -> None:
    async with running(live) as service:
        with pytest.raises(OutOfMemory):
            await service.process(Request(audio=recording, speakers=True, prompt="oom"))
        await service.process(Request(audio=recording, speakers=True))


async def test_progress_is_that_of_the_slowest_stage(live: Live, recording: Path) -> None:
    async with running(live) as service:
        listener = Ears()
        await service.process(Request(audio=recording, speakers=True), listener)
        # One stage is at 5 s while the other has not begun, then both are.
        assert listener.duration_s == 10.0
        assert listener.positions[-1] == 5.0
        assert set(listener.positions) <= {0.0, 5.0}


async def test_bytes_that_are_no_recording_are_the_callers_mistake(live: Live, tmp_path: Path) -> None:
    async with running(live) as service:
        with pytest.raises(MediaError):
            await service.process(Request(audio=tmp_path / "bad-audio.wav"))


async def test_a_request_outlives_the_death_of_a_worker(live: Live, tmp_path: Path) -> None:
    async with running(live) as service:
        transcript = await service.process(Request(audio=tmp_path / "crash-once.wav"))
        assert transcript.text == "Hello there."


async def test_a_request_that_kills_two_workers_fails_clearly(live: Live, tmp_path: Path) -> None:
    async with running(live) as service:
        with pytest.raises(WorkerDied, match="decode worker"):
            await service.process(Request(audio=tmp_path / "crash.wav"))


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"model": "large"}, UnknownModel, "no model 'large' here; there are: fake"),
        ({"language": "xx"}, ParameterError, "it knows: de, en"),
        ({"languages": ("en", "xx")}, ParameterError, "it knows: de, en"),
    ],
)
async def test_what_cannot_be_given_is_refused_before_any_work(
    live: Live, recording: Path, request_: dict[str, Any], error: type[Exception], message: str
) -> None:
    async with running(live) as service:
        with pytest.raises(error, match=message):
            await service.process(Request(audio=recording, **request_))


async def test_speakers_are_refused_where_diarization_is_switched_off(live: Live, recording: Path) -> None:
    async with running(live, diarization=None) as service:
        with pytest.raises(ParameterError, match="without diarization"):
            await service.process(Request(audio=recording, speakers=True))


async def test_nothing_is_admitted_before_the_workers_are_up(live: Live, recording: Path) -> None:
    async with running(live, ready=False) as service:
        with pytest.raises(NotReady, match="worker is"):
            await service.process(Request(audio=recording))


async def test_a_full_queue_refuses_at_once(live: Live, recording: Path) -> None:
    live.current = changed(live.current, "limits", waiting=2)
    async with running(live, slots=1) as service:
        waiting = [
            asyncio.create_task(service.process(Request(audio=recording, prompt="wait"))) for _ in range(3)
        ]
        await until(lambda: service.status().waiting == 2)
        assert service.status().running == 1
        with pytest.raises(QueueFull, match="the limit is 2") as raised:
            await service.process(Request(audio=recording))
        assert raised.value.retry_after_s
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        await service.process(Request(audio=recording))


async def test_a_full_queue_can_be_told_before_there_is_a_recording(live: Live, recording: Path) -> None:
    live.current = changed(live.current, "limits", waiting=2)
    nowhere = Request(audio=Path())
    async with running(live, slots=1) as service:
        service.check_room(nowhere)
        service.check_room_for_any("ann")
        waiting = [
            asyncio.create_task(service.process(Request(audio=recording, prompt="wait"))) for _ in range(3)
        ]
        await until(lambda: service.status().waiting == 2)
        with pytest.raises(QueueFull, match="the limit is 2"):
            service.check_room(nowhere)
        with pytest.raises(QueueFull, match="the limit is 2"):
            service.check_room_for_any("ann")
        service.check_room(structs.replace(nowhere, patient=True))
        service.check_room(structs.replace(nowhere, model="of nobody"))  # which is told by `process`
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)


async def test_a_deadline_ends_the_request_and_frees_the_worker(live: Live, recording: Path) -> None:
    async with running(live, slots=1) as service:
        with pytest.raises(DeadlineExceeded):
            await service.process(Request(audio=recording, prompt="wait", deadline_s=0.2))
        await service.process(Request(audio=recording))


async def test_the_longest_wait_is_read_at_each_request(live: Live, recording: Path) -> None:
    async with running(live) as service:
        live.current = changed(live.current, "limits", wait=Duration("200ms"))
        with pytest.raises(DeadlineExceeded, match=r"0\.2 seconds"):
            await service.process(Request(audio=recording, prompt="wait"))


async def test_who_names_a_deadline_may_wait_longer_than_others(live: Live, recording: Path) -> None:
    async with running(live, slots=1) as service:
        live.current = changed(live.current, "limits", wait=Duration("200ms"))
        held = asyncio.create_task(service.process(Request(audio=recording, prompt="wait", deadline_s=60)))
        with pytest.raises(DeadlineExceeded):
            await service.process(Request(audio=recording, prompt="wait"))
        assert not held.done()
        held.cancel()
        await asyncio.wait([held])


async def test_draining_lets_the_running_end_and_refuses_the_new(live: Live, recording: Path) -> None:
    async with running(live) as service:
        held = asyncio.create_task(service.process(Request(audio=recording, prompt="wait")))
        await until(lambda: service.active == 1)
        service.draining = True
        with pytest.raises(Draining):
            await service.process(Request(audio=recording))
        assert not held.done()
        service.abort()
        with pytest.raises(Draining, match="was stopped"):
            await held
        await service.idle()


async def test_the_status_names_what_is_not_as_it_should_be(live: Live) -> None:
    async with running(live) as service:
        status = service.status()
        assert status.ready
        assert status.notes == [CPU_NOTE]
        assert {worker.kind: worker.state for worker in status.workers} == dict.fromkeys(KINDS, "ready")
        service.draining = True
        assert service.status().reason == "the daemon is stopping"


async def test_a_caller_can_ask_for_detection_whatever_the_configured_language(
    live: Live, recording: Path
) -> None:
    live.current = changed(live.current, "transcribe", language="fr")
    async with running(live) as service:
        await service.process(Request(audio=recording, language="auto"))
        with pytest.raises(ParameterError, match="'fr'"):
            await service.process(Request(audio=recording))
        await service.process(Request(audio=recording, multilingual=True))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"multilingual": True}, False),
        ({"multilingual": True, "languages": ("de", "en")}, False),
        ({"multilingual": True, "languages": ("en",)}, True),
        ({"multilingual": False, "languages": ("en",)}, False),
        ({"multilingual": True, "languages": ("en",), "text": False, "speakers": True}, False),
    ],
)
async def test_a_language_that_can_not_change_is_told_to_who_says_it_may(
    live: Live, recording: Path, wanted: dict[str, Any], told: bool
) -> None:
    async with running(live) as service:
        transcript = await service.process(Request(audio=recording, **wanted))
    notice = Notice("parameter_ignored", "multilingual has no effect here: the language can only be 'en'")
    assert transcript.warnings == [notice] * told


# ---- patience, sharing, and what is not speech ---------------------------------------------------


async def test_a_patient_request_waits_until_the_workers_are_up(live: Live, recording: Path) -> None:
    async with running(live, ready=False) as service:
        assert not service.status().ready
        transcript = await service.process(Request(audio=recording, patient=True))
        assert transcript.text == "Hello there."


async def test_a_patient_request_waits_in_a_full_queue(live: Live, recording: Path) -> None:
    live.current = changed(live.current, "limits", waiting=1)
    async with running(live, slots=1) as service:
        held = [
            asyncio.create_task(service.process(Request(audio=recording, prompt="wait"))) for _ in range(2)
        ]
        await until(lambda: service.status().waiting == 1)
        patient = asyncio.create_task(service.process(Request(audio=recording, patient=True)))
        await until(lambda: service.status().waiting == 2)
        for task in held:
            task.cancel()
        assert (await patient).text == "Hello there."


async def test_requests_for_the_same_file_share_its_decoding(live: Live, tmp_path: Path) -> None:
    recording = tmp_path / "count.wav"
    recording.touch()
    async with running(live) as service:
        first = asyncio.create_task(service.process(Request(audio=recording, prompt="wait")))
        await until(lambda: service.status().running == 1 and decodings(recording) == 1)
        await service.process(Request(audio=recording))
        assert decodings(recording) == 1
        first.cancel()
        await asyncio.wait([first])
        await service.process(Request(audio=recording))
        assert decodings(recording) == 2


def decodings(recording: Path) -> int:
    """How often the fake worker has decoded a file; it leaves a line beside it each time."""
    record = recording.with_suffix(".decodings")
    return len(record.read_text(encoding="utf-8").splitlines()) if record.exists() else 0


async def test_one_who_leaves_does_not_take_the_decoding_from_the_others(live: Live, tmp_path: Path) -> None:
    recording = tmp_path / "when-told.wav"
    recording.touch()
    async with running(live) as service:
        first = asyncio.create_task(service.process(Request(audio=recording)))
        await until(lambda: service.status().running == 1)
        second = asyncio.create_task(service.process(Request(audio=recording)))
        await until(lambda: service.status().running == 2)
        first.cancel()
        await asyncio.wait([first])
        recording.with_suffix(".told").touch()
        assert (await second).text == "Hello there."


async def test_segments_are_heard_once_although_their_worker_died(live: Live, recording: Path) -> None:
    async with running(live) as service:
        listener = Ears()
        transcript = await service.process(Request(audio=recording, prompt="crash-after-segment"), listener)
        assert [segment.id for segment in listener.segments] == [0]
        assert transcript.text == "Hello there."


async def test_the_tally_counts_what_came_and_what_ended(live: Live, recording: Path) -> None:
    async with running(live) as service:
        held = asyncio.create_task(service.process(Request(audio=recording, prompt="wait")))
        await until(lambda: service.active == 1)
        assert (service.tally.queued, service.tally.processed) == (1, 0)
        assert service.tally.last_processed_at is None
        held.cancel()
        await asyncio.wait([held])
        await service.process(Request(audio=recording))
        assert (service.tally.queued, service.tally.processed) == (2, 2)
        assert service.tally.last_processed_at


async def test_a_pair_that_is_not_installed_is_named_with_those_that_are(live: Live) -> None:
    async with running(live) as service:
        with pytest.raises(ParameterError, match="'en' to 'fr'; installed are: none"):
            await service.translate("Hello", "en", "fr")


async def test_an_unloaded_model_comes_back_with_the_next_request(live: Live, recording: Path) -> None:
    async with running(live) as service:
        # These workers are supervised by the test; what the lane itself does is in test_scheduler.py.
        assert await service.unload("translate") == []
        assert service.models() == ("fake",)
        assert (await service.process(Request(audio=recording))).model == "fake"


async def test_a_bad_recording_of_a_known_speaker_is_told_before_the_text_is_there(
    live: Live, recording: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad-audio.wav"
    async with running(live) as service:
        request = Request(
            audio=recording, speakers=True, known_speakers=(KnownSpeaker("Ada", bad),), prompt="wait"
        )
        with pytest.raises(ParameterError, match="known speaker 'Ada': the file is not a recording"):
            await service.process(request)
        await until(lambda: service.active == 0)


async def test_recordings_that_are_written_leave_room_for_those_that_are_read(
    live: Live, recording: Path, tmp_path: Path
) -> None:
    async with running(live, slots=2) as service:
        mixes = [
            asyncio.create_task(service.mix([tmp_path / "wait.wav"], tmp_path / "mix.mp3", [0.0], None))
            for _ in range(2)
        ]
        await until(lambda: service.active == 2)
        assert (await service.process(Request(audio=recording))).text == "Hello there."
        for task in mixes:
            task.cancel()
        await asyncio.wait(mixes)
