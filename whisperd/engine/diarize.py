"""Who spoke when, by pyannote.audio."""

import contextlib
import gc
import io
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from pyannote.core import Annotation

from whisperd.cuda.mapped import own_libraries
from whisperd.engine import Cancelled, Progress, speaker_pipeline
from whisperd.errors import OutOfMemory, StartError
from whisperd.protocol import SAMPLE_RATE_HZ, Diarized, DiarizeJob, DiarizeSetup, Ready
from whisperd.transcript.model import Diarization, Turn

logger = logging.getLogger(__name__)

_STAGES: Final = {"segmentation": (0.0, 0.3), "embeddings": (0.3, 1.0)}
"""Where, of the whole work, the stages that tell of their progress begin and end."""


class Diarizer:
    """A diarization pipeline on one device, for one recording at a time."""

    concurrency: Final = 1

    def __init__(self, setup: DiarizeSetup) -> None:
        """Load, and try it out. Raises StartError or OutOfMemory."""
        started = time.monotonic()
        torch.set_num_threads(setup.threads)
        self._on_gpu = setup.device == "cuda"
        with _messages_logged():
            if self._on_gpu and not torch.cuda.is_available():
                raise StartError("torch finds no CUDA device")
            self._pipeline = _load(Path(setup.model_dir))
            device = torch.device(setup.device, setup.device_index) if self._on_gpu else torch.device("cpu")
            try:
                self._pipeline.to(device)
                speaker_pipeline.try_out(self._pipeline)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                raise OutOfMemory(
                    f"the diarization model does not fit into the memory of {device}"
                ) from error
        self._free_caches()
        self._load_s = time.monotonic() - started

    def describe(self) -> Ready:
        """What was loaded, and which CUDA libraries it really uses."""
        return Ready(load_s=self._load_s, libraries=own_libraries())

    def run(self, job: DiarizeJob, progress: Progress, cancelled: Callable[[], bool]) -> Diarized:
        """Tell the speakers of one decoded recording apart. Raises Cancelled or OutOfMemory.

        The pipeline has the last word: where it can't find as many speakers as the hints say, it finds fewer.
        """
        if not job.samples:
            return Diarized(Diarization([], []))
        try:
            return self._run(job, progress, cancelled)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            logger.warning("out of memory at a diarization; trying once more with half the batch")
        finally:
            self._free_caches()
        try:
            with speaker_pipeline.half_the_batch(self._pipeline):
                return self._run(job, progress, cancelled)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            raise OutOfMemory("not enough memory to diarize this recording") from error
        finally:
            self._free_caches()

    def _run(self, job: DiarizeJob, progress: Progress, cancelled: Callable[[], bool]) -> Diarized:
        duration = job.samples / SAMPLE_RATE_HZ

        def hook(stage: str, *_: Any, total: int = 0, completed: int = 0, **__: Any) -> None:
            if cancelled():
                raise Cancelled
            if total:
                first, last = _STAGES[stage]
                progress(duration * (first + (last - first) * min(float(completed) / total, 1.0)))

        # Copy on write, because torch takes no memory that can't be written to; nothing does write to it.
        samples = np.memmap(job.audio, np.float32, mode="c", shape=(1, job.samples))
        with _messages_logged():
            output = self._pipeline(
                {"waveform": torch.from_numpy(samples), "sample_rate": SAMPLE_RATE_HZ},
                num_speakers=job.hints.exactly,
                min_speakers=job.hints.at_least,
                max_speakers=job.hints.at_most,
                hook=hook,
            )
        progress(duration)
        names: dict[Any, str] = {}
        turns = _turns(output.speaker_diarization, duration, names)
        return Diarized(Diarization(turns, _turns(output.exclusive_speaker_diarization, duration, names)))

    def _free_caches(self) -> None:
        if self._on_gpu:
            gc.collect()
            torch.cuda.empty_cache()


def _load(directory: Path) -> Any:
    try:
        return speaker_pipeline.load(directory)
    except FileNotFoundError as error:
        missing = Path(error.filename or "a file").name
        raise StartError(f"the diarization model is not complete: {missing} is missing") from error
    except Exception as error:
        logger.exception("the diarization model can't be loaded")
        raise StartError(
            f"the diarization model is damaged or of another kind ({type(error).__name__}); see the log"
        ) from error


def _turns(annotation: Annotation, duration: float, names: dict[Any, str]) -> list[Turn]:
    """The turns in order, within the recording (the last chunk is filled up with silence).

    `names` has those of the speakers that have appeared before, and takes up new ones.
    """
    last = math.floor(duration * 1000) / 1000
    turns = []
    for segment, _, label in sorted(annotation.itertracks(yield_label=True)):
        start, end = round(float(segment.start), 3), min(round(float(segment.end), 3), last)
        if start < end:
            name = names.setdefault(label, f"SPEAKER_{len(names):02d}")
            turns.append(Turn(start, end, name))
    return sorted(turns, key=lambda turn: (turn.start, turn.end, turn.speaker))


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory was short: torch says so in several ways, and pyannote in one of its own."""
    words = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        sign in words for sign in ("out of memory", "can't allocate memory", "alloc_failed")
    )


@contextlib.contextmanager
def _messages_logged() -> Iterator[None]:
    """Log what pyannote would warn of and print."""
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stdout(io.StringIO()) as printed,
    ):
        warnings.simplefilter("always")
        try:
            yield
        finally:
            levels = {
                str(warning.message): logging.INFO if warning.category is UserWarning else logging.DEBUG
                for warning in caught
            }
            levels |= dict.fromkeys(printed.getvalue().splitlines(), logging.INFO)
            for message, level in levels.items():
                logger.log(level, "pyannote: %s", " ".join(message.split()))
