"""Speech to text by faster-whisper, each recording on a CTranslate2 worker of its own."""

import gc
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

import numpy as np
from faster_whisper import WhisperModel

from whisperd.cuda.mapped import own_libraries
from whisperd.engine import Cancelled, Progress
from whisperd.errors import OutOfMemory, ParameterError
from whisperd.protocol import (
    SAMPLE_RATE_HZ,
    Ready,
    Transcribed,
    TranscribeJob,
    TranscribeSetup,
)
from whisperd.transcript.align import in_order
from whisperd.transcript.model import Detection, Segment, Word

logger = logging.getLogger(__name__)

# A segment that repeats itself compresses too well, one that the decoder doubts has a low log-probability:
# either is decoded again at the next temperature (Whisper's paper, arXiv 2212.04356, section 4.5).
TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


class Transcriber:
    """A Whisper model on one device, for `concurrency` recordings at once."""

    def __init__(self, setup: TranscribeSetup) -> None:
        started = time.monotonic()
        self.concurrency = setup.concurrency
        self._setup = setup
        self._model = WhisperModel(
            setup.model_dir,
            device=setup.device,
            device_index=setup.device_index,
            compute_type=setup.compute_type,
            cpu_threads=setup.threads,
            num_workers=setup.concurrency,
            local_files_only=True,
        )
        # CTranslate2 looks for cuBLAS at its first operation, not when it loads: find out now.
        trial, _ = self._model.transcribe(np.zeros(SAMPLE_RATE_HZ, np.float32), beam_size=1, language="en")
        list(trial)
        self._load_s = time.monotonic() - started

    def describe(self) -> Ready:
        """What was loaded, and which CUDA libraries it really uses."""
        return Ready(
            load_s=self._load_s,
            libraries=own_libraries(),
            languages=list(self._model.supported_languages),
        )

    def run(self, job: TranscribeJob, progress: Progress, cancelled: Callable[[], bool]) -> Transcribed:
        """Transcribe one decoded recording. Raises Cancelled, OutOfMemory, or ParameterError for a language
        that the model doesn't know.

        A language that is detected is the most probable of `job.languages`. Segments are told of as they are
        found, numbered from 0, with times in order and inside the recording. Asking for a kind of detection
        turns detection on.
        """
        self._check_languages(job)
        if not job.samples:
            return Transcribed(None, None, [])
        audio = np.memmap(job.audio, np.float32, mode="r", shape=(job.samples,))
        try:
            return self._transcribe(job, audio, progress, cancelled)
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
            logger.warning("out of memory on %s; trying once more with empty caches", self._setup.device)
        self._free_caches()
        try:
            return self._transcribe(job, audio, progress, cancelled)
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
            raise OutOfMemory(f"not enough memory on the {self._setup.device} for this recording") from error

    def _transcribe(
        self,
        job: TranscribeJob,
        audio: np.ndarray[Any, np.dtype[np.float32]],
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> Transcribed:
        language = job.language or (job.languages[0] if len(job.languages) == 1 else None)
        model = _Choosing(self._model, job.languages) if job.languages else self._model
        found, info = model.transcribe(
            audio,
            task=job.task,
            language=language,
            beam_size=job.beam_size or self._setup.beam_size,
            temperature=job.temperature or TEMPERATURES,
            initial_prompt=job.prompt,
            hotwords=job.hotwords,
            word_timestamps=job.words,
            vad_filter=self._setup.vad or job.detection != Detection(),
            vad_parameters=_vad_parameters(job.detection),
        )
        segments = []
        for segment in _segments(_until(cancelled, found), job.samples / SAMPLE_RATE_HZ):
            segments.append(segment)
            progress(segment.end, segment)
        if not segments and language is None:
            # What the detector says of a recording without speech means nothing.
            return Transcribed(None, None, [])
        return Transcribed(info.language, float(info.language_probability), segments)

    def _check_languages(self, job: TranscribeJob) -> None:
        known = self._model.supported_languages
        param, asked = ("language", [job.language]) if job.language else ("languages", job.languages)
        for code in asked:
            if code not in known:
                raise ParameterError(
                    f"the model {self._setup.model} does not know the language {code!r}; "
                    f"it knows: {', '.join(sorted(known))}",
                    param=param,
                )

    def _free_caches(self) -> None:
        gc.collect()
        self._model.model.unload_model()
        self._model.model.load_model()


class _Choosing(WhisperModel):  # type: ignore[misc]  # faster-whisper's types are not read
    """A loaded model that hears no languages but some."""

    def __init__(self, loaded: WhisperModel, languages: Collection[str]) -> None:
        self.__dict__.update(loaded.__dict__)
        self._languages = languages

    def detect_language(self, *arguments: Any, **options: Any) -> tuple[str, float, list[tuple[str, float]]]:
        """The most probable of the languages, its probability among all that there are, and all of those."""
        *_, probabilities = super().detect_language(*arguments, **options)
        language, probability = max(
            (each for each in probabilities if each[0] in self._languages), key=lambda each: each[1]
        )
        return language, probability, probabilities


def _vad_parameters(detection: Detection) -> dict[str, float]:
    """What is wanted of Silero VAD other than faster-whisper would."""
    wanted = {
        "threshold": detection.threshold,
        "min_silence_duration_ms": detection.min_silence_ms,
        "speech_pad_ms": detection.padding_ms,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _until(cancelled: Callable[[], bool], found: Iterable[Any]) -> Iterator[Any]:
    """What is found, until nobody waits for it: asked before each, for finding it is what costs."""
    finding = iter(found)
    while not cancelled():
        if (each := next(finding, None)) is None:
            return
        yield each
    raise Cancelled


def _segments(found: Iterable[Any], duration: float) -> Iterator[Segment]:
    """faster-whisper's segments as ours: none empty, times in order and inside the recording."""
    spoken = (each for each in found if each.text.strip())
    return in_order(_segment(number, each, duration) for number, each in enumerate(spoken))


def _segment(number: int, found: Any, duration: float) -> Segment:
    """faster-whisper's segment as ours, with its times inside the recording."""

    def inside(seconds: float) -> float:
        return round(min(max(float(seconds), 0.0), duration), 3)

    words = [
        Word(word.word, inside(word.start), inside(word.end), round(float(word.probability), 4))
        for word in found.words or ()
    ]
    return Segment(
        id=number,
        # The words' own times are finer than the segment's, which come from Whisper's timestamp tokens.
        start=words[0].start if words else inside(found.start),
        end=max(word.end for word in words) if words else inside(found.end),
        text=found.text,
        words=words,
        seek=found.seek,
        tokens=list(found.tokens),
        temperature=float(found.temperature),
        avg_logprob=round(float(found.avg_logprob), 5),
        compression_ratio=round(float(found.compression_ratio), 4),
        no_speech_prob=round(float(found.no_speech_prob), 6),
    )
