"""Who spoke when, by pyannote.audio."""

import contextlib
import gc
import io
import itertools
import logging
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from pyannote.core import Annotation

from whisperd.cuda.mapped import own_libraries
from whisperd.engine import Cancelled, Progress, heap, speaker_pipeline, voices
from whisperd.engine.voices import Embedding, Samples
from whisperd.errors import OutOfMemory, ParameterError, StartError
from whisperd.protocol import SAMPLE_RATE_HZ, Diarized, DiarizeJob, DiarizeSetup, Ready, Voice
from whisperd.transcript.model import Diarization, Turn

logger = logging.getLogger(__name__)

_STAGES: Final = {"segmentation": (0.0, 0.5), "embeddings": (0.5, 1.0)}
"""Where, of the whole work, the stages that tell of their progress begin and end."""

_TRIMMED_BATCHES: Final = 16
"""After so many, the heap gives back what is free: blocks differ in size, and it would grow for hours."""

_REFERENCE_S: Final = 60
"""Of a known speaker's recording, so much is searched for speech."""


class Diarizer:
    """A diarization pipeline on one device, for one recording at a time."""

    concurrency: Final = 1

    def __init__(self, setup: DiarizeSetup) -> None:
        """Load, and try it out. Raises StartError or OutOfMemory."""
        started = time.monotonic()
        self._on_gpu = setup.device == "cuda"
        with _messages_logged():
            if self._on_gpu and not torch.cuda.is_available():
                raise StartError("torch finds no CUDA device")
            self._pipeline = _load(Path(setup.model_dir))
            device = torch.device(setup.device, setup.device_index) if self._on_gpu else torch.device("cpu")
            try:
                speaker_pipeline.place(self._pipeline, device, setup.threads)
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
        """Tell the speakers of one decoded recording apart. Raises Cancelled, OutOfMemory, or ParameterError
        for a known voice whose recording is too short to know it by.

        The pipeline has the last word: where it can't find as many speakers as the hints say, it finds fewer.
        Speakers are numbered as they appear; those whose voice is known have its name in place of the number.
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

        def working(position_s: float) -> None:
            if cancelled():
                raise Cancelled
            progress(position_s)

        batches = itertools.count(1)

        def hook(stage: str, *_: Any, total: int = 0, completed: int = 0, **__: Any) -> None:
            if next(batches) % _TRIMMED_BATCHES == 0:
                heap.give_back()
            if total:
                first, last = _STAGES[stage]
                working(duration * (first + (last - first) * min(float(completed) / total, 1.0)))
            elif cancelled():
                raise Cancelled

        samples = _samples(job.audio, job.samples)
        with _messages_logged():
            known = [(voice.name, self._known(voice, lambda *_, **__: working(0.0))) for voice in job.voices]
            output = self._pipeline(
                _recording(samples),
                num_speakers=job.hints.exactly,
                min_speakers=job.hints.at_least,
                max_speakers=job.hints.at_most,
                hook=hook,
            )
            labels = _labels({voice.name for voice in job.voices})
            turns = _turns(output.speaker_diarization, duration, labels)
            exclusive = _turns(output.exclusive_speaker_diarization, duration, labels)
            if known:
                names = self._recognize(samples, turns, known, lambda: working(duration))
                turns, exclusive = voices.rename(turns, names), voices.rename(exclusive, names)
        progress(duration)
        return Diarized(Diarization(turns, exclusive))

    def _known(self, voice: Voice, hook: Callable[..., None]) -> Embedding:
        embedding = None
        if voice.samples >= voices.LEAST_S * SAMPLE_RATE_HZ:
            samples = _samples(voice.audio, min(voice.samples, _REFERENCE_S * SAMPLE_RATE_HZ))
            speech = speaker_pipeline.speech(self._pipeline, _recording(samples), hook)
            embedding = voices.embed(speaker_pipeline.embedding_of(self._pipeline), samples, speech)
        if embedding is None:
            raise ParameterError(
                f"the recording of the known speaker {voice.name!r} has too little speech to know the voice "
                f"by: at least {voices.LEAST_S} s are needed",
                param="known_speakers",
            )
        return embedding

    def _recognize(
        self,
        samples: Samples,
        turns: list[Turn],
        known: list[tuple[str, Embedding]],
        working: Callable[[], None],
    ) -> dict[str, str]:
        """The names of the speakers whose voice is known, by their labels."""
        network = speaker_pipeline.embedding_of(self._pipeline)
        speakers = {}
        for label, stretches in voices.alone(turns).items():
            working()
            embedding = voices.embed(network, samples, stretches)
            if embedding is not None:
                speakers[label] = embedding
        return voices.recognize(speakers, known, speaker_pipeline.same_speaker(self._pipeline))

    def _free_caches(self) -> None:
        if self._on_gpu:
            gc.collect()
            torch.cuda.empty_cache()
        heap.give_back()


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


def _samples(path: str, samples: int) -> Samples:
    """The first samples of a decoded recording, at least one."""
    # Copy on write, because torch takes no memory that can't be written to; nothing does write to it.
    return np.memmap(path, np.float32, mode="c", shape=(samples,))


def _recording(samples: Samples) -> dict[str, Any]:
    """A recording as pyannote takes it."""
    return {"waveform": torch.from_numpy(samples)[None], "sample_rate": SAMPLE_RATE_HZ}


def _labels(taken: Collection[str] = ()) -> defaultdict[Any, str]:
    """Labels for speakers, numbered as they are asked for; none is a name that is taken."""
    numbered = (f"SPEAKER_{number:02d}" for number in itertools.count())
    return defaultdict(filter(lambda label: label not in taken, numbered).__next__)


def _turns(annotation: Annotation, duration: float, labels: defaultdict[Any, str]) -> list[Turn]:
    """The turns in order, within the recording (the last chunk is filled up with silence).

    `labels` has those of the speakers that have appeared before, and takes up new ones.
    """
    last = math.floor(duration * 1000) / 1000
    turns = []
    for segment, _, label in sorted(annotation.itertracks(yield_label=True)):
        start, end = round(float(segment.start), 3), min(round(float(segment.end), 3), last)
        if start < end:
            turns.append(Turn(start, end, labels[label]))
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
