"""How much of Whisper's window to encode for a short clip: the curve of speed and errors over the margin.

The whole engine transcribes clips of 2 to 13 s. The margin is what follows the speech in the window; besides
the bare margins there are the engine's own choice (with its shortest and longest window) and the full window,
which all are compared with. The clips are those of the corpus where it is at hand, cuts of the conversation,
and the same with noise and spoken faster.
"""

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

import jiwer
import numpy as np
from faster_whisper import decode_audio
from recordings import CORPUS, conversation
from running import STATE

from whisperd.engine import features
from whisperd.engine.attempts import Attempts, Decoded
from whisperd.engine.chunks import Audio
from whisperd.engine.transcribe import Transcriber
from whisperd.protocol import SAMPLE_RATE_HZ, TranscribeSetup

from .gpu_engines import job
from .report import Figure

MODELS: Final = ("tiny.en", "base")
MARGINS_S: Final = (1, 2, 5, 8, 10, 15)
_CUTS_S: Final = ((6.5, 9.5), (9.5, 15), (15, 22.5), (22.5, 29.5), (6.5, 19))
"""Of the conversation."""
_NOISE_DB: Final = 15
"""By which it is softer than the speech."""
_FASTER: Final = 1.2
_FULL: Final = "the full window"


@dataclass(frozen=True, slots=True)
class Clip:
    """Some seconds of speech."""

    audio: Audio
    reference: str | None


@dataclass(slots=True)
class Run:
    """All clips with one way to fit the window."""

    cpu_s: float
    words: list[str]
    """One text for each clip, its words set apart by single spaces."""
    again: int
    """Texts that a fitted window was not good enough for."""


def measure(directory: Path) -> Iterator[Figure]:
    """Both models."""
    recordings = clips()
    for name in MODELS:
        engine = _engine(name)
        runs = {what: _run(engine, directory, recordings, settings) for what, settings in ways().items()}
        full = runs[_FULL]
        for what, run in runs.items():
            how = f"{len(recordings)} clips"
            yield Figure(f"{name}, {what}: CPU time of a clip", run.cpu_s / len(recordings), "s", how=how)
            if run is not full:
                changed = _errors(full.words, run.words)
                yield Figure("  words changed", changed, "", how=f"of {_count(full.words)}")
                yield Figure("  texts decoded again with the full window", run.again, "")
            spoken = [clip.reference for clip in recordings if clip.reference]
            if spoken:
                heard = [text for clip, text in zip(recordings, run.words, strict=True) if clip.reference]
                yield Figure("  words wrong", _errors(spoken, heard), "", how=f"of {_count(spoken)}")


def ways() -> dict[str, dict[str, int]]:
    """How a window can be fitted, by the constants of `features` that make it so."""
    frames = features.FRAMES_PER_S
    return {
        _FULL: {"_LONGEST": 0},
        **{
            f"{margin} s": {"_MARGIN": margin * frames, "_SHORTEST": 0, "_LONGEST": features.WINDOW}
            for margin in MARGINS_S
        },
        "as the engine has it": {},
    }


def clips() -> list[Clip]:
    """Of 2 to 13 s, each as it is, with noise, and faster."""
    plain = [*_of_corpus(), *_of_conversation()]
    generator = np.random.default_rng(0)
    noisy = [Clip(_with_noise(clip.audio, generator), clip.reference) for clip in plain]
    return [*plain, *noisy, *(Clip(_faster(clip.audio), clip.reference) for clip in plain)]


def _of_corpus() -> Iterator[Clip]:
    table = CORPUS / "speech" / "transcripts.tsv"
    if not table.exists():
        return
    for line in table.read_text(encoding="utf-8").splitlines()[1:]:
        name, language, text = line.split("\t")
        if language == "en":
            yield Clip(decode_audio(str(table.with_name(name))), _normal(text))


def _of_conversation() -> Iterator[Clip]:
    audio = decode_audio(str(conversation()))
    for start, end in _CUTS_S:
        yield Clip(audio[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)], None)


def _with_noise(audio: Audio, generator: np.random.Generator) -> Audio:
    noise = generator.standard_normal(len(audio), np.float32)
    loudness = np.sqrt(np.mean(audio**2)) * 10 ** (-_NOISE_DB / 20)
    noisy: Audio = (audio + noise * loudness).astype(np.float32)
    return noisy


def _faster(audio: Audio) -> Audio:
    """Higher, too."""
    wanted = np.arange(0, len(audio) - 1, _FASTER)
    faster: Audio = np.interp(wanted, np.arange(len(audio)), audio).astype(np.float32)
    return faster


def _engine(name: str) -> Transcriber:
    return Transcriber(
        TranscribeSetup(
            model=name,
            model_dir=str(STATE / "models" / name),
            device="cpu",
            device_index=0,
            compute_type="int8",
            concurrency=1,
            threads=1,
            beam_size=5,
            vad=True,
        )
    )


def _run(engine: Transcriber, directory: Path, recordings: Sequence[Clip], settings: dict[str, int]) -> Run:
    """Its threads are the process's only ones that work, so the process's CPU time is theirs."""
    again = 0
    refuse = Attempts.refuse

    def counted(attempts: Attempts, decoded: Decoded) -> None:
        nonlocal again
        again += attempts.fitted
        refuse(attempts, decoded)

    with contextlib.ExitStack() as stack:
        for constant, frames in settings.items():
            stack.enter_context(mock.patch.object(features, constant, frames))
        stack.enter_context(mock.patch.object(Attempts, "refuse", counted))
        started = time.process_time()
        words = [_transcribed(engine, directory, clip) for clip in recordings]
        return Run(time.process_time() - started, words, again)


def _transcribed(engine: Transcriber, directory: Path, clip: Clip) -> str:
    path = directory / "clip.f32"
    clip.audio.tofile(path)
    done = engine.run(job(path), _unheard, lambda: False)
    return _normal("".join(segment.text for segment in done.segments))


def _unheard(*_: Any) -> None:
    pass


def _normal(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9' ]", "", text.lower().replace("-", " ")).split())


def _errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Words that are wrong, missing or too many; a clip without a reference has only the last."""
    wrong = 0
    for wanted, text in zip(reference, heard, strict=True):
        if wanted:
            compared = jiwer.process_words(wanted, text)
            wrong += compared.substitutions + compared.deletions + compared.insertions
        else:
            wrong += len(text.split())
    return wrong


def _count(texts: Sequence[str]) -> int:
    return sum(len(text.split()) for text in texts)
