"""The worker that opens recordings: one engine for all its kinds of jobs."""

from pathlib import Path

from listening import heard
from recordings import tone

from whisperd.engine.recordings import Recordings
from whisperd.protocol import AnyJob, Decoded, DecodeJob, DecodeSetup, Encoded, MixJob, PadJob

ENGINE = Recordings(DecodeSetup(concurrency=3, max_duration_s=60))


def test_each_kind_of_job_gets_what_it_asks_for(tmp_path: Path) -> None:
    source, target = str(tone(tmp_path / "a.wav")), str(tmp_path / "b")
    jobs: list[tuple[AnyJob, type[Decoded | Encoded], str | None]] = [
        (DecodeJob(source, target), Decoded, None),
        (PadJob(source, target, 0.5), Encoded, "matroska,webm"),
        (MixJob([source], target, [0.0], None), Encoded, "mp3"),
    ]
    for job, result, container in jobs:
        done = ENGINE.run(job, lambda *_: None, lambda: False)  # type: ignore[arg-type]
        assert isinstance(done, result)
        assert container is None or heard(Path(target)).container == container


def test_as_many_recordings_are_worked_on_at_once_as_the_setup_says() -> None:
    assert ENGINE.concurrency == 3
