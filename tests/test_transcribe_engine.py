"""faster-whisper behind the worker's interface, on real weights."""

import wave
from pathlib import Path
from typing import Any

import av
import pytest
from faster_whisper.vad import VadOptions, get_speech_timestamps
from msgspec.structs import replace
from recordings import CORPUS, conversation, tone
from running import STATE, models_installed

from whisperd.engine import Cancelled
from whisperd.engine.decode import Decoder
from whisperd.engine.recognition import Recognizer
from whisperd.engine.transcribe import Transcriber
from whisperd.errors import OutOfMemory, ParameterError
from whisperd.protocol import (
    SAMPLE_RATE_HZ,
    DecodeJob,
    DecodeSetup,
    Transcribed,
    TranscribeJob,
    TranscribeSetup,
)
from whisperd.transcript.model import Detection, Segment

pytestmark = pytest.mark.engine


def transcriber(model: str, compute_type: str = "int8", *, vad: bool = True) -> Transcriber:
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
            vad=vad,
        )
    )


@pytest.fixture(scope="module")
def tiny() -> Transcriber:
    return transcriber("tiny.en")


@pytest.fixture(scope="module")
def base() -> Transcriber:
    return transcriber("base")


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


def test_the_text_is_the_same_with_words_and_without(tiny: Transcriber, tmp_path: Path) -> None:
    with_words, without = (
        [
            (segment.start, segment.end, segment.text)
            for segment in run(tiny, job(conversation(), words=words, directory=tmp_path)).segments
        ]
        for words in (True, False)
    )
    assert with_words == without


def test_a_recording_without_speech_has_no_language(tiny: Transcriber, tmp_path: Path) -> None:
    silence = tone(tmp_path / "a.wav", seconds=3, amplitude=0)
    assert run(tiny, job(silence, directory=tmp_path)) == Transcribed(None, None, [])


def test_a_cancelled_job_ends_at_the_next_segment(tiny: Transcriber, tmp_path: Path) -> None:
    made = job(conversation(), directory=tmp_path)
    heard: list[Segment] = []

    def progress(_: float, segment: Segment | None = None, /) -> None:
        assert segment
        heard.append(segment)

    with pytest.raises(Cancelled):
        tiny.run(made, progress, lambda: len(heard) == 2)
    assert len(heard) == 2
    with pytest.raises(Cancelled):
        tiny.run(made, progress, lambda: True)
    assert len(heard) == 2


def test_segments_are_told_of_as_they_are_found(tiny: Transcriber, tmp_path: Path) -> None:
    told: list[Segment | None] = []

    def progress(_: float, segment: Segment | None = None, /) -> None:
        told.append(segment)

    result = tiny.run(job(conversation(), directory=tmp_path), progress, lambda: False)
    assert told == result.segments
    assert [segment.id for segment in result.segments] == list(range(len(told)))
    words = [word.start for segment in result.segments for word in segment.words]
    assert words == sorted(words)


def test_out_of_memory_is_tried_once_more_with_empty_caches(
    tiny: Transcriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(conversation(), directory=tmp_path)
    real = tiny._recognizer._generate
    failures = [RuntimeError("CUDA failed with error out of memory")]

    def generate(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return real(*arguments, **options)

    monkeypatch.setattr(tiny._recognizer, "_generate", generate)
    assert run(tiny, made).segments
    failures[:] = [RuntimeError("CUDA failed with error out of memory")] * 2
    with pytest.raises(OutOfMemory):
        run(tiny, made)


def test_a_model_of_many_languages_tells_which_it_hears(base: Transcriber, tmp_path: Path) -> None:
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


# ---- languages -----------------------------------------------------------------------------------


def english(directory: Path) -> Path:
    """Some seconds of the conversation."""
    target = directory / "english.wav"
    with wave.open(str(conversation()), "rb") as source, wave.open(str(target), "wb") as cut:
        cut.setparams(source.getparams())
        source.setpos(13 * source.getframerate())
        cut.writeframes(source.readframes(5 * source.getframerate()))
    return target


def corpus(name: str) -> Path:
    """A recording that stands beside the repository."""
    recording = CORPUS / "speech" / name
    if not recording.exists():
        pytest.skip(f"{recording} is absent")
    return recording


def german(directory: Path) -> TranscribeJob:
    """The half of a recording of two languages that is in German, to be translated to English."""
    made = job(corpus("multilingual.mp3"), directory=directory, task="translate")
    audio = Path(made.audio)
    audio.write_bytes(audio.read_bytes()[30 * SAMPLE_RATE_HZ * 4 :])
    return replace(made, samples=audio.stat().st_size // 4)


def test_a_detected_language_is_one_of_those_that_are_allowed(
    base: Transcriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []
    real = get_speech_timestamps

    def searched(*arguments: Any) -> Any:
        searches.append(arguments)
        return real(*arguments)

    monkeypatch.setattr("whisperd.engine.chunks.get_speech_timestamps", searched)
    source = english(tmp_path)
    free = run(base, job(source, directory=tmp_path))
    bound = run(base, job(source, directory=tmp_path, languages=["fr", "de"]))
    among = run(base, job(source, directory=tmp_path, languages=["fr", "en"]))
    assert free.language_probability
    assert bound.language_probability
    assert bound.language in ("fr", "de")
    assert 0 < bound.language_probability < 0.5 < free.language_probability
    assert (among.language, among.language_probability) == ("en", free.language_probability)
    assert len(searches) == 3, "speech is found once for each"
    assert run(base, job(source, directory=tmp_path)).language == "en", "the next job is free again"


def test_a_single_allowed_language_is_not_detected(
    base: Transcriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Recognizer, "_hear")
    result = run(base, job(english(tmp_path), directory=tmp_path, languages=["en"]))
    assert (result.language, result.language_probability) == ("en", 1)
    assert result.segments


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"language": "fr"}, "language"),
        ({"language": "xx", "languages": ["en"]}, "language"),
        ({"languages": ["en", "de"]}, "languages"),
    ],
)
def test_a_language_that_the_model_does_not_know_is_refused(
    tiny: Transcriber, tmp_path: Path, options: dict[str, Any], param: str
) -> None:
    silence = tone(tmp_path / "a.wav", amplitude=0)
    with pytest.raises(ParameterError, match=r"it knows: en$") as caught:
        run(tiny, job(silence, directory=tmp_path, **options))
    assert caught.value.param == param


def test_speech_is_translated_to_english(base: Transcriber, tmp_path: Path) -> None:
    result = run(base, german(tmp_path))
    assert result.language == "de"
    text = " ".join(segment.text for segment in result.segments).lower()
    assert "the right to use the software" in text
    assert " und " not in text
    words = [word.text for segment in result.segments for word in segment.words]
    assert "".join(words) == "".join(segment.text for segment in result.segments)


def test_a_recording_that_changes_language_is_in_the_one_that_it_begins_with(
    base: Transcriber, tmp_path: Path
) -> None:
    result = run(base, job(corpus("multilingual.mp3"), directory=tmp_path))
    assert result.language == "en"


def test_each_part_is_written_in_its_own_language_where_that_is_asked(
    base: Transcriber, tmp_path: Path
) -> None:
    result = run(base, job(corpus("multilingual.mp3"), directory=tmp_path, multilingual=True))
    assert result.language == "en"
    english = " ".join(part.text for part in result.segments if part.end < 29)
    german = " ".join(part.text for part in result.segments if part.start > 31)
    assert "permission is hereby granted" in english.lower()
    assert " und " in german
    assert {part.language for part in result.segments if part.start > 31} == {"de"}


# ---- what is made up -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def open_ears() -> Transcriber:
    """Without detection of speech: it transcribes whatever there is."""
    return transcriber("base", vad=False)


@pytest.mark.parametrize("amplitude", [0, 0.3], ids=["silence", "tone"])
def test_what_is_made_of_no_speech_is_marked_or_left_out(
    open_ears: Transcriber, tmp_path: Path, amplitude: float
) -> None:
    source = tone(tmp_path / "a.wav", seconds=10, amplitude=amplitude)
    marked = run(open_ears, job(source, directory=tmp_path, language="en"))
    assert all("no_voice" in segment.doubts for segment in marked.segments)
    dropped = run(open_ears, job(source, directory=tmp_path, language="en", drop_doubted=True))
    assert dropped.segments == []
    assert dropped.dropped == len(marked.segments)


def test_speech_is_not_doubted_without_detection(open_ears: Transcriber, tmp_path: Path) -> None:
    result = run(open_ears, job(english(tmp_path), directory=tmp_path, language="en"))
    assert [segment.doubts for segment in result.segments] == [[]] * len(result.segments) != []


# ---- what was said before ------------------------------------------------------------------------


def test_the_decoder_is_told_what_was_said_before_where_that_is_asked(
    tiny: Transcriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[str | None] = []
    real = tiny._recognizer.prompts.prompt

    def prompt(*arguments: Any, **options: Any) -> Any:
        prompts.append(options.get("text"))
        return real(*arguments, **options)

    monkeypatch.setattr(tiny._recognizer.prompts, "prompt", prompt)
    made = job(conversation(), directory=tmp_path, condition_on_previous_text=True)
    audio = Path(made.audio)
    audio.write_bytes(audio.read_bytes() * 2)
    result = run(tiny, replace(made, samples=made.samples * 2))
    assert prompts[0] == ""
    assert any(prompts[1:])
    assert "".join(segment.text for segment in result.segments).count("Chicago") >= 3


# ---- how speech is found -------------------------------------------------------------------------


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[VadOptions]:
    """How speech was looked for, each time; none is found."""
    asked: list[VadOptions] = []

    def searched(_: Any, options: VadOptions) -> list[dict[str, int]]:
        asked.append(options)
        return []

    monkeypatch.setattr("whisperd.engine.chunks.get_speech_timestamps", searched)
    return asked


def test_speech_is_told_from_silence_as_the_job_says(
    tiny: Transcriber, tmp_path: Path, searches: list[VadOptions]
) -> None:
    detections = (
        Detection(),
        Detection(threshold=0.3),
        Detection(threshold=0.0, min_silence_ms=0, padding_ms=0),
    )
    for detection in detections:
        run(tiny, job(english(tmp_path), directory=tmp_path, detection=detection))
    assert searches == [
        VadOptions(),
        VadOptions(threshold=0.3),
        VadOptions(threshold=0.0, min_silence_duration_ms=0, speech_pad_ms=0),
    ]


def test_asking_for_a_kind_of_detection_turns_detection_on(
    tmp_path: Path, searches: list[VadOptions]
) -> None:
    engine = transcriber("tiny.en", vad=False)
    assert run(engine, job(english(tmp_path), directory=tmp_path)).segments
    assert searches == []
    run(engine, job(english(tmp_path), directory=tmp_path, detection=Detection(padding_ms=100)))
    assert searches == [VadOptions(speech_pad_ms=100)]
