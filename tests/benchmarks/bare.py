"""`python -m benchmarks.bare MODEL RECORDING ...`: seconds that CTranslate2 alone takes, at its best.

In a process of its own, because it is the environment of the daemon's worker that makes it fast.
"""

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel, decode_audio
from numpy.typing import NDArray
from running import STATE

from whisperd.engine.features import fitted, mel, padded
from whisperd.engine.prompts import Prompts

_SIZES: Final = (1, 2, 4, 8)


class Bare:
    """CTranslate2's Whisper and nothing else: encoding, decoding and alignment of ready-made features."""

    def __init__(self, name: str, workers: int, threads: int) -> None:
        self._workers = workers
        self._model = WhisperModel(
            str(STATE / "models" / name),
            device="cpu",
            compute_type="int8",
            cpu_threads=threads,
            num_workers=workers,
            local_files_only=True,
        )
        prompts = Prompts(self._model)
        self._prompt = list(prompts.prompt("en", "transcribe"))
        self._tokenizer = prompts.tokenizer("en", "transcribe")

    def seconds(self, recordings: Sequence[Path], batch_size: int) -> float:
        """For all of them in the windows that the daemon fits to them, longest first."""
        extractor = self._model.feature_extractor
        features = sorted((mel(extractor, decode_audio(str(each))) for each in recordings), key=_frames)
        batches = [features[at : at + batch_size] for at in range(0, len(features), batch_size)][::-1]
        ready = [np.stack([padded(each, fitted(_frames(batch[-1]))) for each in batch]) for batch in batches]
        lengths = [[_frames(each) for each in batch] for batch in batches]
        started = time.perf_counter()
        with ThreadPoolExecutor(self._workers) as pool:
            list(pool.map(self._batch, ready, lengths))
        return time.perf_counter() - started

    def _batch(self, features: NDArray[np.float32], lengths: list[int]) -> None:
        model = self._model.model
        encoded = _storage(np.concatenate([self._encode(each) for each in features]))
        found = model.generate(encoded, [self._prompt] * len(features), beam_size=5, return_scores=True)
        text = [[token for token in each.sequences_ids[0] if token < self._tokenizer.eot] for each in found]
        model.align(encoded, self._tokenizer.sot_sequence, text, lengths, median_filter_width=7)

    def _encode(self, features: NDArray[np.float32]) -> NDArray[Any]:
        return np.array(self._model.model.encode(_storage(features[np.newaxis]), to_cpu=True))


def _frames(features: NDArray[np.float32]) -> int:
    return int(features.shape[1])


def _storage(array: NDArray[Any]) -> Any:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array))


def main() -> None:
    """Every arrangement of workers, threads and batches; the fastest is printed."""
    name, *recordings = sys.argv[1:]
    cores = len(os.sched_getaffinity(0))
    best = min(
        Bare(name, workers, threads).seconds([Path(each) for each in recordings], size)
        for workers, threads in {(cores, 1), (1, cores)}
        for size in _SIZES
    )
    print(best)


if __name__ == "__main__":
    main()
