"""`python -m benchmarks.bare MODEL RECORDING ...`: seconds that CTranslate2 alone takes, at its best.

It is given the windows that the engine encodes for these recordings, with what has to be decoded once more
among them, and does nothing else than the model's own work. In a process of its own, because it is the
environment of the daemon's worker that makes it fast.
"""

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel, decode_audio
from faster_whisper.vad import VadOptions
from numpy.typing import NDArray

from whisperd.engine.features import Mel, padded
from whisperd.engine.prompts import Prompts
from whisperd.engine.recognition import Recognizer
from whisperd.engine.transcription import Transcription
from whisperd.engine.works import Hearing, Transcribing
from whisperd.protocol import TranscribeJob

from .alone import loaded

_SIZES: Final = (1, 2, 4, 8)
_BEAM_SIZE: Final = 5


class Window(NamedTuple):
    """Features, and how many frames of them and of silence are encoded."""

    features: Mel
    context: int


class Watched(Recognizer):
    """Remembers what it was given."""

    def __init__(self, model: WhisperModel) -> None:
        self.windows: list[Window] = []
        super().__init__(model, at_once=1, batch_size=1)

    def _run(self, batch: Sequence[Hearing | Transcribing]) -> None:
        self.windows += [Window(work.features, work.context) for work in batch]
        super()._run(batch)


class Bare:
    """CTranslate2's Whisper and nothing else: encoding, decoding and alignment of ready-made features."""

    def __init__(self, name: str, workers: int, threads: int) -> None:
        self._workers = workers
        self._model = loaded(name, threads=threads, workers=workers)
        prompts = Prompts(self._model)
        self._prompt = list(prompts.prompt("en", "transcribe"))
        self._tokenizer = prompts.tokenizer("en", "transcribe")

    def seconds(self, windows: Sequence[Window], batch_size: int) -> float:
        """For all of them, longest first."""
        ordered = sorted(windows, key=lambda window: (window.context, window.features.shape[1]))
        batches = [ordered[at : at + batch_size] for at in range(0, len(ordered), batch_size)][::-1]
        ready = [np.stack([padded(each.features, batch[-1].context) for each in batch]) for batch in batches]
        lengths = [[each.features.shape[1] for each in batch] for batch in batches]
        started = time.perf_counter()
        with ThreadPoolExecutor(self._workers) as pool:
            list(pool.map(self._batch, ready, lengths))
        return time.perf_counter() - started

    def _batch(self, features: NDArray[np.float32], lengths: list[int]) -> None:
        model = self._model.model
        encoded = _storage(np.concatenate([self._encode(each) for each in features]))
        prompts = [self._prompt] * len(features)
        found = model.generate(encoded, prompts, beam_size=_BEAM_SIZE, return_scores=True)
        text = [[token for token in each.sequences_ids[0] if token < self._tokenizer.eot] for each in found]
        model.align(encoded, self._tokenizer.sot_sequence, text, lengths, median_filter_width=7)

    def _encode(self, features: NDArray[np.float32]) -> NDArray[Any]:
        return np.array(self._model.model.encode(_storage(features[np.newaxis]), to_cpu=True))


def encoded_for(name: str, recordings: Sequence[str]) -> list[Window]:
    """What the engine gives its model for them."""
    model = loaded(name, threads=1)
    recognizer = Watched(model)
    for path in recordings:
        samples = decode_audio(path)
        Transcription(
            TranscribeJob(path, len(samples), "transcribe", "en", True, None, None, None, None),
            samples,
            recognizer=recognizer,
            extractor=model.feature_extractor,
            detection=VadOptions(),
            beam_size=_BEAM_SIZE,
            ahead=1,
            progress=lambda *_: None,
            cancelled=lambda: False,
        ).run("en")
    return recognizer.windows


def _storage(array: NDArray[Any]) -> Any:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array))


def main() -> None:
    """Every arrangement of workers, threads and batches in a trial; then the fastest, whose time is printed.

    The least of many times would be that of a lucky moment, and the daemon is timed once.
    """
    name, *recordings = sys.argv[1:]
    windows = encoded_for(name, recordings)
    cores = len(os.sched_getaffinity(0))
    arranged = [Bare(name, workers, threads) for workers, threads in {(cores, 1), (1, cores)}]
    tried = {(bare, size): bare.seconds(windows, size) for bare in arranged for size in _SIZES}
    best, size = min(tried, key=tried.__getitem__)
    print(best.seconds(windows, size))


if __name__ == "__main__":
    main()
