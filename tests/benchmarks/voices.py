"""`python -m benchmarks.voices`: how alike the voice of one speaker is to itself and to others'.

What `SpeakerEmbedding.same_speaker` has to tell apart, on what is at hand: the corpus, and the conversation
in pyannote.audio's package.
"""

import itertools
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from diarization_error import references
from pyannote.core import Annotation
from recordings import CORPUS, conversation, package_file
from rich.console import Console
from rich.table import Table
from scipy.io import wavfile
from weights import weights

from whisperd.engine import speaker_pipeline, voices
from whisperd.engine.decode import Decoder
from whisperd.engine.voices import Embedding, Samples, Stretch
from whisperd.protocol import SAMPLE_RATE_HZ, DecodeJob, DecodeSetup
from whisperd.transcript.model import Turn

LENGTHS_S = ((2.0, 30.0), (2.0, 2.0), (1.0, 1.0), (0.5, 0.5))
"""So much at least has a take to have, and so much of it is embedded, in seconds."""


class Take(NamedTuple):
    """One speaker's speech."""

    speaker: str
    samples: Samples
    stretches: list[Stretch]


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    pipeline = speaker_pipeline.load(weights("diarization"))
    pipeline.to(torch.device("cpu"))
    network = speaker_pipeline.embedding_of(pipeline)
    with tempfile.TemporaryDirectory(prefix="whisperd-") as directory:
        takes = [*single(pipeline, Path(directory)), *together(Path(directory))]
    table = Table(
        "speech of each", "takes", "one speaker: pairs", "lowest", "median", "two: pairs", "highest", box=None
    )
    for least, most in LENGTHS_S:
        embedded = [
            (take.speaker, embedding)
            for take in takes
            if seconds(take.stretches) >= least
            and (embedding := voices.embed(network, take.samples, first(take.stretches, most))) is not None
        ]
        same, different = pairs(embedded)
        table.add_row(
            f"{least:g} s" if least == most else f"all, {least:g} s or more",
            str(len(embedded)),
            str(len(same)),
            f"{min(same):.2f}",
            f"{statistics.median(same):.2f}",
            str(len(different)),
            f"{max(different):.2f}",
        )
    Console(width=140).print(table)


def single(pipeline: object, directory: Path) -> Iterator[Take]:
    """Recordings of one speaker each: whole sentences of one, halves of the others."""
    folder = CORPUS / "speech"
    channels = wavfile.read(folder / "stereo_diarization.wav")[1].astype(np.float32) / np.float32(32_768)
    sentences = [("spk1", decoded(path, directory)) for path in sorted(folder.glob("spk1_*.wav"))]
    others = [
        ("jfk", decoded(folder / "jfk.flac", directory)),
        ("LJ050", decoded(folder / "LJ050-0131.wav", directory)),
        ("left", channels[:, 0].copy()),
        ("right", channels[:, 1].copy()),
    ]
    for speaker, samples in [*sentences, *others]:
        recording = {"waveform": torch.from_numpy(samples)[None], "sample_rate": SAMPLE_RATE_HZ}
        stretches = speaker_pipeline.speech(pipeline, recording, lambda *_, **__: None)
        for part in [stretches] if speaker == "spk1" else halves(stretches):
            yield Take(speaker, samples, part)


def together(directory: Path) -> Iterator[Take]:
    """Those who talk with others, in halves, from where the reference says that they are heard alone."""
    (spoken,) = references(package_file("pyannote.audio", "sample", "sample.rttm")).values()
    recordings = [(conversation(), spoken)]
    for name, annotation in references(CORPUS / "meetings" / "reference.rttm").items():
        recordings.append((CORPUS / "meetings" / f"{name}.wav", annotation))
    for path, annotation in recordings:
        samples = decoded(path, directory)
        for speaker, stretches in voices.alone(turns(annotation)).items():
            for part in halves(stretches):
                yield Take(speaker, samples, part)


def decoded(path: Path, directory: Path) -> Samples:
    """16 kHz mono."""
    target = directory / "decoded.f32"
    job = DecodeJob(str(path), str(target))
    Decoder(DecodeSetup(1, 600)).run(job, lambda *_: None, lambda: False)
    return np.fromfile(target, np.float32)


def turns(annotation: Annotation) -> list[Turn]:
    """The turns of a reference."""
    return [
        Turn(part.start, part.end, speaker) for part, _, speaker in annotation.itertracks(yield_label=True)
    ]


def seconds(stretches: list[Stretch]) -> float:
    """How much speech it is."""
    return sum(end - start for start, end in stretches)


def first(stretches: list[Stretch], length: float) -> list[Stretch]:
    """So many seconds of speech."""
    kept = []
    for start, end in stretches:
        kept.append((start, min(end, start + max(length, 0.0))))
        length -= end - start
    return kept


def halves(stretches: list[Stretch]) -> tuple[list[Stretch], list[Stretch]]:
    """The first and the second half of some speech."""
    half = seconds(stretches) / 2
    back = [(-end, -start) for start, end in reversed(stretches)]
    return first(stretches, half), [(-end, -start) for start, end in first(back, half)]


def pairs(embedded: list[tuple[str, Embedding]]) -> tuple[list[float], list[float]]:
    """Cosines of each two takes: of one speaker, of two."""
    same: list[float] = []
    different: list[float] = []
    for (one, mine), (other, theirs) in itertools.combinations(embedded, 2):
        (same if one == other else different).append(float(mine @ theirs))
    return same, different


if __name__ == "__main__":
    main()
