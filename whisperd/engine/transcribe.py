"""Speech to text by Whisper on CTranslate2; the chunks of all recordings in hand share its batches."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.vad import VadOptions

from whisperd.cuda.mapped import own_libraries
from whisperd.engine import Progress
from whisperd.engine.recognition import Recognizer
from whisperd.engine.samples import Samples
from whisperd.engine.transcription import Transcription
from whisperd.errors import ParameterError
from whisperd.protocol import (
    SAMPLE_RATE_HZ,
    Ready,
    Transcribed,
    TranscribeJob,
    TranscribeSetup,
)
from whisperd.transcript.model import Detection

logger = logging.getLogger(__name__)

_AHEAD: Final = 2
"""Batches of one recording that wait for each CTranslate2 worker: one in its hands, one ready."""


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
            num_workers=setup.batches,
            local_files_only=True,
        )
        # CTranslate2 looks for cuBLAS at its first operation, not when it loads: find out now.
        trial, _ = self._model.transcribe(np.zeros(SAMPLE_RATE_HZ, np.float32), beam_size=1, language="en")
        list(trial)
        self._recognizer = Recognizer(self._model, at_once=setup.batches, batch_size=setup.batch_size)
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
        detects = self._setup.vad or job.detection != Detection()
        with Samples(Path(job.audio), job.samples) as recording:
            return Transcription(
                job,
                recording,
                recognizer=self._recognizer,
                extractor=self._model.feature_extractor,
                detection=_vad_options(job.detection) if detects else None,
                beam_size=job.beam_size or self._setup.beam_size,
                ahead=_AHEAD * self._setup.batches * self._setup.batch_size,
                progress=progress,
                cancelled=cancelled,
            ).run(self._language(job))

    def _language(self, job: TranscribeJob) -> str | None:
        """The only one that it can be; None where it has to be heard."""
        if job.language:
            return job.language
        possible = job.languages or self._model.supported_languages
        return possible[0] if len(possible) == 1 else None

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


def _vad_options(detection: Detection) -> VadOptions:
    """What is wanted of Silero VAD other than faster-whisper would."""
    wanted = {
        "threshold": detection.threshold,
        "min_silence_duration_ms": detection.min_silence_ms,
        "speech_pad_ms": detection.padding_ms,
    }
    return VadOptions(**{name: value for name, value in wanted.items() if value is not None})
