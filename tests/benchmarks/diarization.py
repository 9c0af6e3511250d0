"""Diarization beside pyannote's own pipeline on the same weights: speed, and how much is wrong.

The two take turns on each recording. The embedding is ours in both: pyannote has none for these weights.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from diarization_error import ErrorRate, references
from pyannote.core import Annotation, Segment
from recordings import CORPUS, conversation
from scipy.io import wavfile
from weights import weights

from whisperd.engine import speaker_pipeline
from whisperd.engine.diarize import Diarizer
from whisperd.engine.pyannote_audio import SpeakerDiarization
from whisperd.engine.voices import Samples
from whisperd.protocol import SAMPLE_RATE_HZ, DiarizeJob, DiarizeSetup
from whisperd.transcript.model import SpeakerHints, Turn

from .report import Figure

GOAL_MS: Final = 50
"""For each second of audio: 20 times real time."""
ROUNDS: Final = 3
JOINED_S: Final = 600
_LONGEST_PAUSE_S: Final = 4
_WEIGHTS: Final = "diarization"


class Recording(NamedTuple):
    """Samples, and who speaks when."""

    samples: Samples
    reference: Annotation

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / SAMPLE_RATE_HZ


class Plain(speaker_pipeline.Diarization):
    """What our pipeline does in another way, done in pyannote's."""

    get_segmentations = SpeakerDiarization.get_segmentations
    get_embeddings = SpeakerDiarization.get_embeddings
    reconstruct = SpeakerDiarization.reconstruct


def measure(directory: Path) -> Iterator[Figure]:
    """Milliseconds for a second of audio, wall and CPU, and the error rate."""
    short = recordings()
    pieces = [*short, *([joined(short)] if len(short) > 1 else [])]
    ours, theirs = diarizer(plain=False), diarizer(plain=True)
    for what, group in (("short recordings", short), ("one recording of 10 minutes", pieces[len(short) :])):
        if not group:
            continue
        length = sum(recording.seconds for recording in group)
        wall: dict[Diarizer, list[float]] = {ours: [], theirs: []}
        cpu: dict[Diarizer, list[float]] = {ours: [], theirs: []}
        wrong: dict[Diarizer, float] = {}
        for number in range(ROUNDS):
            for one in (ours, theirs) if number % 2 else (theirs, ours):
                torch.set_num_threads(_cores() if one is theirs else 1)
                started, used = time.perf_counter(), time.process_time()
                turns = [run(one, recording, directory) for recording in group]
                wall[one].append((time.perf_counter() - started) / length * 1000)
                cpu[one].append((time.process_time() - used) / length * 1000)
                error = ErrorRate()
                for recording, found in zip(group, turns, strict=True):
                    error.add(recording.reference, found, recording.seconds)
                wrong[one] = error.total * 100
        how = f"{ROUNDS} times, {length:.0f} s; {1000 / statistics.median(wall[ours]):.1f} x real time"
        yield Figure(f"{what}: for a second of it", statistics.median(wall[ours]), "ms", GOAL_MS, how)
        yield Figure("  of CPU time", statistics.median(cpu[ours]), "ms")
        yield Figure("  by pyannote's pipeline", statistics.median(wall[theirs]), "ms")
        yield Figure("  by pyannote's pipeline, of CPU time", statistics.median(cpu[theirs]), "ms")
        yield Figure(f"{what}: error rate; goal: pyannote's", wrong[ours], "%", wrong[theirs])


def recordings() -> list[Recording]:
    """The conversation in pyannote.audio's package, and the corpus' meetings where it is at hand."""
    (reference,) = references(conversation().with_suffix(".rttm")).values()
    found = [Recording(_read(conversation()), reference)]
    meetings = CORPUS / "meetings"
    if meetings.is_dir():
        for name, spoken in references(meetings / "reference.rttm").items():
            found.append(Recording(_read(meetings / f"{name}.wav"), spoken))
    return found


def joined(pieces: list[Recording], seconds: float = JOINED_S) -> Recording:
    """One recording of all pieces, in another order each time round, with silence between them; so long or
    longer."""
    generator = np.random.default_rng(1)
    samples: list[Samples] = []
    reference = Annotation()
    start = 0.0
    while start < seconds:
        for index in generator.permutation(len(pieces)):
            for number, (part, _, speaker) in enumerate(pieces[index].reference.itertracks(yield_label=True)):
                reference[Segment(start + part.start, start + part.end), (start, number)] = (
                    f"{index} {speaker}"
                )
            pause = np.zeros(generator.integers(_LONGEST_PAUSE_S * SAMPLE_RATE_HZ), np.float32)
            samples += [pieces[index].samples, pause]
            start += pieces[index].seconds + len(pause) / SAMPLE_RATE_HZ
    return Recording(np.concatenate(samples), reference)


def long_recording(path: Path, seconds: float) -> Path:
    """A WAV file of those recordings, joined, so long."""
    samples = joined(recordings(), seconds).samples[: round(seconds * SAMPLE_RATE_HZ)]
    wavfile.write(path, SAMPLE_RATE_HZ, (samples * 32_767).astype(np.int16))
    return path


def diarizer(*, plain: bool) -> Diarizer:
    """One with our pipeline on all cores, or with pyannote's."""
    directory = weights(_WEIGHTS)
    made = Diarizer(
        DiarizeSetup(model=_WEIGHTS, model_dir=str(directory), device="cpu", device_index=0, threads=_cores())
    )
    if plain:
        made._pipeline = _plain(directory, made._pipeline)
    return made


def _plain(directory: Path, pipeline: Any) -> Plain:
    from pyannote.audio import Model

    network = Model.from_pretrained(directory / "segmentation" / "pytorch_model.bin").eval()
    made = Plain(network, speaker_pipeline.embedding_of(pipeline))
    made.to(torch.device("cpu"))
    return made


def run(diarizer: Diarizer, recording: Recording, directory: Path) -> list[Turn]:
    """Whom it hears; the samples lie in `directory` for so long."""
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        recording.samples.tofile(file.name)
        job = DiarizeJob(file.name, len(recording.samples), SpeakerHints())
        return diarizer.run(job, lambda *_: None, lambda: False).diarization.turns


def _read(path: Path) -> Samples:
    _, samples = wavfile.read(path)
    scale = -np.iinfo(samples.dtype).min if samples.dtype.kind == "i" else 1
    return samples.astype(np.float32) / np.float32(scale)  # type: ignore[no-any-return]


def _cores() -> int:
    return len(os.sched_getaffinity(0))
