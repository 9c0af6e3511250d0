"""faster-whisper behind the worker's interface, on real weights."""

from pathlib import Path
from typing import Any

import av
import pytest
from recordings import conversation, tone
from running import STATE, models_installed

from whisperd.engine import Cancelled
from whisperd.engine.decode import Decoder
from whisperd.engine.transcribe import Transcriber
from whisperd.errors import OutOfMemory
from whisperd.protocol import DecodeJob, DecodeSetup, Transcribed, TranscribeJob, TranscribeSetup

pytestmark = pytest.mark.engine


def transcriber(model: str, compute_type: str = "int8") -> Transcriber:
    models_installed(model)
    return Transcriber(
        TranscribeSetup(
            model=model,
            model_dir=str(STATE / "models" / model),
            device="cpu",
            device_index=0,
            compute_type=compute_type,
            concurrency=1,
            threads=1,
            beam_size=5,
            vad=True,
        )
    )


@pytest.fixture(scope="module")
def tiny() -> Transcriber:
    return transcriber("tiny.en")


def job(source: Path, **options: Any) -> TranscribeJob:
    target = Path(options.pop("directory")) / "audio.f32"
    decoded = Decoder(DecodeSetup(1, 600)).run(
        DecodeJob(str(source), str(target)), lambda *_: None, lambda: False
    )
    wanted: dict[str, Any] = {
        "task": "transcribe",
        "language": None,
        "words": True,
        "prompt": None,
        "hotwords": None,
        "temperature": None,
        "beam_size": None,
    }
    return TranscribeJob(audio=str(target), samples=decoded.samples, **(wanted | options))


def run(engine: Transcriber, made: TranscribeJob) -> Transcribed:
    return engine.run(made, lambda *_: None, lambda: False)


def test_an_english_model_says_that_it_knows_only_english(tiny: Transcriber) -> None:
    assert tiny.describe().languages == ["en"]
    assert tiny.describe().libraries == []


def test_progress_reaches_the_end_of_the_speech(tiny: Transcriber, tmp_path: Path) -> None:
    positions: list[float] = []

    def progress(position_s: float, *_: object) -> None:
        positions.append(position_s)

    result = tiny.run(job(conversation(), directory=tmp_path), progress, lambda: False)
    assert positions == sorted(positions)
    assert positions[-1] == result.segments[-1].end > 25


def test_words_are_left_out_where_nobody_asks(tiny: Transcriber, tmp_path: Path) -> None:
    result = run(tiny, job(conversation(), words=False, directory=tmp_path))
    assert all(segment.words == [] for segment in result.segments)
    assert result.language == "en"


def test_a_recording_without_speech_has_no_language(tiny: Transcriber, tmp_path: Path) -> None:
    silence = tone(tmp_path / "a.wav", seconds=3, amplitude=0)
    assert run(tiny, job(silence, directory=tmp_path)) == Transcribed(None, None, [])


def test_a_cancelled_job_ends_at_the_next_segment(tiny: Transcriber, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        tiny.run(job(conversation(), directory=tmp_path), lambda *_: None, lambda: True)


def test_out_of_memory_is_tried_once_more_with_empty_caches(
    tiny: Transcriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(conversation(), directory=tmp_path)
    real = tiny._model.transcribe
    failures = [RuntimeError("CUDA failed with error out of memory")]

    def transcribe(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*arguments, **options)

    monkeypatch.setattr(tiny._model, "transcribe", transcribe)
    assert run(tiny, made).segments
    failures[:] = [RuntimeError("CUDA failed with error out of memory")] * 2
    with pytest.raises(OutOfMemory):
        run(tiny, made)


def test_a_model_of_many_languages_tells_which_it_hears(tmp_path: Path) -> None:
    base = transcriber("base")
    assert {"en", "de", "fr"} <= set(base.describe().languages)
    result = run(base, job(conversation(), directory=tmp_path))
    assert result.language == "en"
    assert result.language_probability
    assert result.language_probability > 0.5


def test_float32_gives_the_same_speech(tmp_path: Path) -> None:
    result = run(transcriber("tiny.en", "float32"), job(conversation(), directory=tmp_path))
    assert "Chicago" in "".join(segment.text for segment in result.segments)


def test_every_word_lies_inside_the_recording(tiny: Transcriber, tmp_path: Path) -> None:
    with av.open(str(conversation())) as container:
        assert container.duration
        duration = container.duration / av.time_base
    result = run(tiny, job(conversation(), directory=tmp_path))
    assert all(0 <= word.start <= word.end <= duration for part in result.segments for word in part.words)
