"""Many short recordings at once, and a long one: the daemon beside faster-whisper by itself.

faster-whisper runs in this process, on 1 thread and on as many as there are cores, and the better counts. The
two take turns, so that whatever else the machine does meets both alike; each ratio is of one turn's pair.
"""

import functools
import itertools
import os
import statistics
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from faster_whisper import BatchedInferencePipeline, WhisperModel, decode_audio
from recordings import CORPUS
from running import STATE, Daemon

from .client import form, post
from .report import Figure, percentile, spread

MODELS: Final = ("tiny.en", "base")
CLIPS: Final = 32
LONG_S: Final = 363
TURNS: Final = 5
_FIELDS: Final = {
    "language": "en",
    "response_format": "verbose_json",
    "timestamp_granularities[]": "word",
}
_OPTIONS: Final = {"language": "en", "beam_size": 5, "word_timestamps": True, "vad_filter": True}
_CORES: Final = len(os.sched_getaffinity(0))


def measure(directory: Path) -> Iterator[Figure]:
    """Both models; nothing where the corpus is absent."""
    speech = sorted((CORPUS / "speech").glob("spk1_*.wav")) + [
        CORPUS / "speech" / name for name in ("LJ050-0131.wav", "jfk.flac")
    ]
    if not speech[-1].exists():
        return
    clips = [_wav(directory / f"{path.stem}.wav", [decode_audio(str(path))]) for path in speech]
    sounds = [decode_audio(str(path)) for path in clips]
    long = _wav(directory / "long.wav", _over_and_over(sounds))
    for model in MODELS:
        yield from _model(directory, model, list(itertools.islice(itertools.cycle(clips), CLIPS)), long)


def _model(directory: Path, name: str, clips: Sequence[Path], long: Path) -> Iterator[Figure]:
    alone = [_Alone(name, threads) for threads in sorted({1, _CORES})]
    settings = {
        "WHISPERD_TRANSCRIBE__MODEL": name,
        "WHISPERD_TRANSCRIBE__COMPUTE_TYPE": "int8",
        "WHISPERD_TRANSCRIBE__DEVICE": "cpu",
        "WHISPERD_DIARIZE__ENABLED": "false",
    }
    with Daemon(directory, settings) as daemon:

        def at_once(paths: Sequence[Path]) -> list[float]:
            uploads = [form("/v1/audio/transcriptions", path, **_FIELDS) for path in paths]
            with ThreadPoolExecutor(len(uploads)) as clients:
                return list(clients.map(lambda upload: post(daemon.port, upload), uploads))

        at_once(clips)
        yield from _ratios(
            f"{CLIPS} clips at once, {name}, against one after the other",
            5.0,
            lambda: at_once(clips),
            [functools.partial(each.transcribe, clips) for each in alone],
        )
        yield from _ratios(
            f"{LONG_S} s, {name}, against WhisperModel.transcribe",
            2.0,
            lambda: at_once([long]),
            [functools.partial(each.transcribe, [long]) for each in alone],
        )
        yield from _ratios(
            f"{LONG_S} s, {name}, against BatchedInferencePipeline",
            1.2,
            lambda: at_once([long]),
            [functools.partial(each.transcribe_batched, long, size) for each in alone for size in (4, 8)],
        )
        yield from _ratios(
            f"one clip of 3 s, {name}, against WhisperModel.transcribe",
            2.5,
            lambda: at_once(clips[:1]),
            [functools.partial(each.transcribe, clips[:1]) for each in alone],
        )
        waits = at_once(clips)
        locked = list(itertools.accumulate(alone[0].transcribe([clip]) for clip in clips))
        yield Figure(
            f"95th percentile of {CLIPS} clips at once, {name}, against one lock around transcribe",
            percentile(waits, 95) / percentile(locked, 95),
            "",
            0.5,
            f"{percentile(waits, 95):.2f} s and {percentile(locked, 95):.2f} s",
        )


def _ratios(
    what: str, goal: float, ours: Callable[[], Any], theirs: Sequence[Callable[[], Any]]
) -> Iterator[Figure]:
    """How many times as fast as the fastest of the others."""
    ours_s: list[float] = []
    theirs_s: list[list[float]] = [[] for _ in theirs]
    for _ in range(TURNS):
        ours_s.append(_seconds(ours))
        for seconds, run in zip(theirs_s, theirs, strict=True):
            seconds.append(_seconds(run))
    best = min(theirs_s, key=statistics.median)
    ratios = [their / our for our, their in zip(ours_s, best, strict=True)]
    yield Figure(what, statistics.median(ratios), "x", goal, spread(ratios), at_least=True)
    yield Figure("  the daemon", statistics.median(ours_s), "s", None, spread(ours_s))
    yield Figure("  the other", statistics.median(best), "s", None, spread(best))


def _seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


class _Alone:
    """faster-whisper in this process."""

    def __init__(self, name: str, threads: int) -> None:
        self._model = WhisperModel(
            str(STATE / "models" / name),
            device="cpu",
            compute_type="int8",
            cpu_threads=threads,
            local_files_only=True,
        )
        self._batched = BatchedInferencePipeline(self._model)

    def transcribe(self, paths: Sequence[Path]) -> float:
        """One after the other, decoding included; the seconds that it took."""
        started = time.perf_counter()
        for path in paths:
            segments, _ = self._model.transcribe(decode_audio(str(path)), **_OPTIONS)
            list(segments)
        return time.perf_counter() - started

    def transcribe_batched(self, path: Path, size: int) -> None:
        """In batches of its own chunks."""
        segments, _ = self._batched.transcribe(decode_audio(str(path)), batch_size=size, **_OPTIONS)
        list(segments)


def _over_and_over(sounds: Sequence[Any]) -> list[Any]:
    """Half a second apart, until it is long enough."""
    pause = np.zeros(8000, np.float32)
    made: list[Any] = []
    length = 0
    for sound in itertools.cycle(sounds):
        if length >= LONG_S * 16_000:
            return made
        made += [sound, pause]
        length += len(sound) + len(pause)
    return made


def _wav(path: Path, sounds: Sequence[Any]) -> Path:
    samples = (np.concatenate(sounds) * 32_767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    return path
