"""What `benchmarks.gpu` measures, each in a process of its own, so that the next finds the card empty."""

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from unittest import mock

import ctranslate2
import numpy as np
from faster_whisper import BatchedInferencePipeline, WhisperModel

from whisperd.cuda.mapped import mapped_libraries
from whisperd.engine import recognition
from whisperd.engine.features import FRAMES_PER_S
from whisperd.engine.transcribe import Transcriber
from whisperd.protocol import SAMPLE_RATE_HZ, TranscribeJob, TranscribeSetup

REQUESTS: Final = 32
BEAM_SIZE: Final = 5
_WINDOW_S: Final = 30
_MOST_TOKENS: Final = 448
_OPTIONS: Final = {
    "language": "en",
    "beam_size": BEAM_SIZE,
    "word_timestamps": True,
    "vad_filter": True,
    "condition_on_previous_text": False,
}


@dataclass(frozen=True, slots=True)
class Task:
    """A model, and recordings for it."""

    model: Path
    device: Literal["cpu", "cuda"]
    compute_type: str
    stream: Path
    """The recording that comes alone: 32-bit floats, 16 kHz."""
    request: Path
    """The recording that comes many times at once."""
    turns: int


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    speeds: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of audio in a second, once for each turn."""
    spans: list[tuple[float, float]] = field(default_factory=list)
    """When many requests were in hand, by the monotonic clock."""
    tokens: int = 0
    """In each window."""
    libraries: list[str] = field(default_factory=list)
    """CUDA's, that were mapped at the end."""

    def time(
        self, name: str, audio_s: float, turns: int, run: Callable[[], Any]
    ) -> list[tuple[float, float]]:
        """Run so often; say when."""
        spans = []
        for _ in range(turns):
            started = time.monotonic()
            run()
            ended = time.monotonic()
            spans.append((started, ended))
            self.speeds.setdefault(name, []).append(audio_s / (ended - started))
        return spans

    def end(self) -> "Outcome":
        """With the libraries that were used."""
        maps = Path("/proc/self/maps").read_text(encoding="utf-8")
        self.libraries = [library.path for library in mapped_libraries(maps, [])]
        return self


def alone(task: Task, sizes: Iterable[int]) -> Outcome:
    """CTranslate2 by itself: windows that are ready are encoded, decoded and aligned in batches."""
    outcome = Outcome()
    model = _model(task)
    prompt = [
        model.hf_tokenizer.token_to_id(f"<|{name}|>") for name in ("startoftranscript", "en", "transcribe")
    ]
    window_s = min(_WINDOW_S, int(_seconds(task.stream)))
    window = model.feature_extractor(_read(task.stream)[: window_s * SAMPLE_RATE_HZ])[
        :, : window_s * FRAMES_PER_S
    ]

    def batch(size: int) -> None:
        features = ctranslate2.StorageView.from_array(np.repeat(window[np.newaxis], size, axis=0))
        encoded = model.model.encode(features)
        results = model.model.generate(
            encoded, [prompt] * size, beam_size=BEAM_SIZE, max_length=_MOST_TOKENS, suppress_tokens=[]
        )
        texts = [result.sequences_ids[0] for result in results]
        (outcome.tokens,) = {len(text) for text in texts}
        first_special = model.hf_tokenizer.token_to_id("<|endoftext|>")
        words = [[token for token in text if token < first_special] for text in texts]
        model.model.align(encoded, prompt, words, [window.shape[1]] * size)

    batch(1)
    for size in sizes:
        outcome.time(f"batches of {size}", size * window_s, task.turns, functools.partial(batch, size))
    return outcome.end()


def ours(task: Task, batches: int, batch_size: int) -> Outcome:
    """whisperd's engine, with so many batches at once of at most that size."""
    # It looks beside the words for speech that was left out. Without training they lie anywhere, and it would
    # decode much once more that a trained model would not have missed.
    with mock.patch.object(recognition, "missed", return_value=[]):
        return _ours(task, batches, batch_size)


def _ours(task: Task, batches: int, batch_size: int) -> Outcome:
    outcome = Outcome()
    engine = Transcriber(
        TranscribeSetup(
            model="untrained",
            model_dir=str(task.model),
            device=task.device,
            device_index=0,
            compute_type=task.compute_type,
            concurrency=REQUESTS,
            threads=1,
            beam_size=BEAM_SIZE,
            vad=True,
            batches=batches,
            batch_size=batch_size,
        )
    )

    def run(path: Path) -> None:
        done = engine.run(job(path), lambda *_: None, lambda: False)
        if not done.segments or any(segment.temperature for segment in done.segments):
            raise RuntimeError("the model did not recite, so the figures would be of something else")

    run(task.request)
    outcome.time("one recording", _seconds(task.stream), task.turns, lambda: run(task.stream))
    with ThreadPoolExecutor(REQUESTS) as clients:
        outcome.spans = outcome.time(
            f"{REQUESTS} at once",
            REQUESTS * _seconds(task.request),
            task.turns,
            lambda: list(clients.map(run, [task.request] * REQUESTS)),
        )
    return outcome.end()


def theirs(task: Task, sizes: Sequence[int]) -> Outcome:
    """faster-whisper, window by window and in batches of a recording's own windows."""
    outcome = Outcome()
    model = _model(task)
    batched = BatchedInferencePipeline(model)
    stream, request = _read(task.stream), _read(task.request)

    def many(transcribe: Callable[[Any], None]) -> None:
        for _ in range(REQUESTS):
            transcribe(request)

    def plain(audio: Any) -> None:
        segments, _ = model.transcribe(audio, **_OPTIONS)
        list(segments)

    plain(request[: _WINDOW_S * SAMPLE_RATE_HZ])
    outcome.time("one recording", _seconds(task.stream), task.turns, lambda: plain(stream))
    outcome.time(f"{REQUESTS}, one by one", REQUESTS * _seconds(task.request), 1, lambda: many(plain))
    for size in sizes:

        def in_batches(audio: Any, size: int = size) -> None:
            segments, _ = batched.transcribe(audio, batch_size=size, **_OPTIONS)
            list(segments)

        outcome.time(
            f"one recording, in batches of {size}",
            _seconds(task.stream),
            task.turns,
            functools.partial(in_batches, stream),
        )
        outcome.time(
            f"{REQUESTS}, one by one, in batches of {size}",
            REQUESTS * _seconds(task.request),
            task.turns,
            functools.partial(many, in_batches),
        )
    return outcome.end()


def _model(task: Task) -> WhisperModel:
    return WhisperModel(
        str(task.model),
        device=task.device,
        compute_type=task.compute_type,
        cpu_threads=1,  # as ours
        local_files_only=True,
    )


def _read(path: Path) -> Any:
    return np.fromfile(path, np.float32)


def _samples(path: Path) -> int:
    return path.stat().st_size // np.dtype(np.float32).itemsize


def _seconds(path: Path) -> float:
    return _samples(path) / SAMPLE_RATE_HZ


def job(path: Path) -> TranscribeJob:
    """The words of a file of samples, in English, with all else as it is by default."""
    return TranscribeJob(
        audio=str(path),
        samples=_samples(path),
        task="transcribe",
        language="en",
        words=True,
        prompt=None,
        hotwords=None,
        temperature=None,
        beam_size=None,
    )
