"""`python -m benchmarks.gpu`: a Whisper of large-v3-turbo's size on NVIDIA's first card.

The weights are made here (`reciting`), so it needs no model; it shows speed and not quality. Of what the
processes import, PyAV alone need not be installed. The sample of pyannote.audio's package, over and over, is
the speech. `--device cpu --small` tries out whether all of it works, where there is no card.
"""

from . import without_av as without_av

# isort: split
import argparse
import contextlib
import importlib.util
import multiprocessing
import os
import statistics
import sys
import tempfile
import wave
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from whisperd.cuda import nvml
from whisperd.protocol import SAMPLE_RATE_HZ

from . import cublas, gpu_engines, reciting
from .card import Card
from .gpu_engines import REQUESTS, Outcome, Task
from .report import Figure, machine, show, spread

BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
GOAL_BUSY: Final = 95
_SILENT_S: Final = 6.5
_MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    shape: reciting.Shape
    stream_s: int
    request_s: int
    turns: int
    arrangements: Sequence[tuple[int, int]]
    """Of whisperd's engine: batches at once, and their size. The daemon has the first on a card."""
    their_sizes: Sequence[int]
    """Of faster-whisper's batches."""


WHOLE: Final = Size(reciting.TURBO, 600, 300, 3, [(1, 16), (2, 16), (1, 64)], [16, 64])
SMALL: Final = Size(reciting.SMALL, 10, 4, 1, [(1, 16)], [16])


def main() -> None:
    """Measure, and print a table for each process."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description="Measure engines on a card.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="a model and recordings that are soon done with")
    options = parser.parse_args()
    size = SMALL if options.small else WHOLE
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="whisperd-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        card = None
        if options.device == "cuda":
            _prepare_cuda(directory)
            card = stack.enter_context(Card())
        task = _task(directory, size, options.device)
        print(f"a model without training, {_shape(size.shape)}, {task.compute_type}\n", flush=True)
        for title, figures in _tables(task, size, card):
            show(title, list(figures))


def _tables(task: Task, size: Size, card: Card | None) -> Iterator[tuple[str, Iterator[Figure]]]:
    yield (
        "CTranslate2 alone: encode, generate, align",
        _measured(card, gpu_engines.alone, task, BATCH_SIZES),
    )
    for batches, batch_size in size.arrangements:
        yield (
            f"whisperd's engine, {batches} x {batch_size} windows at once",
            _measured(card, gpu_engines.ours, task, batches, batch_size),
        )
    yield "faster-whisper", _measured(card, gpu_engines.theirs, task, size.their_sizes)


def _measured(card: Card | None, measure: Callable[..., Outcome], *arguments: Any) -> Iterator[Figure]:
    """In a process of its own."""
    before = card.look() if card else None
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        outcome = process.submit(measure, *arguments).result()
    after = card.look() if card else None
    for what, speeds in outcome.speeds.items():
        how = spread(speeds) if len(speeds) > 1 else "once"
        yield Figure(what, statistics.median(speeds), "x real time", how=how)
    if outcome.tokens:
        yield Figure("tokens of each window", outcome.tokens, "")
    if card and before and after:
        if outcome.spans:
            busy = [sample.busy for span in outcome.spans for sample in card.between(*span)]
            yield Figure(
                f"the card's utilisation with {REQUESTS} at once",
                statistics.fmean(busy),
                "%",
                GOAL_BUSY,
                f"{len(busy)} samples",
                at_least=True,
            )
        used = [sample.used_bytes for sample in card.between(before.at, after.at)]
        yield Figure("memory at the most, more than before", (max(used) - before.used_bytes) / _MB, "MB")
        left = (after.used_bytes - before.used_bytes) / _MB
        yield Figure("memory after the process has ended, more than before", left, "MB", 0)
        print("mapped:", *outcome.libraries, sep="\n  ")


def _prepare_cuda(directory: Path) -> None:
    """For the processes to come. Ends the program where there is no card, or no cuBLAS."""
    reading = nvml.read(os.environ)
    if reading.obstacle:
        sys.exit(str(reading.obstacle))
    found = cublas.find(directory)
    if found is None:
        sys.exit("there is no cuBLAS of CUDA 12 or 13: install nvidia-cublas-cu12")
    inherited = os.environ.get("LD_LIBRARY_PATH")
    os.environ["LD_LIBRARY_PATH"] = ":".join([*map(str, found.directories), *filter(None, [inherited])])
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # CUDA's first card is then NVML's
    names = ", ".join(device.name for device in reading.devices)
    print(f"{names}; driver {reading.driver}, CUDA {'.'.join(map(str, reading.cuda or ()))}\n{found.told}")


def _task(directory: Path, size: Size, device: Any) -> Task:
    model = directory / "model"
    model.mkdir()
    reciting.make(model, size.shape)
    speech = _speech()
    recordings = {"stream": size.stream_s, "request": size.request_s}
    for recording, seconds in recordings.items():
        np.resize(speech, seconds * SAMPLE_RATE_HZ).tofile(directory / recording)
    return Task(
        model,
        device,
        "float16" if device == "cuda" else "float32",
        directory / "stream",
        directory / "request",
        size.turns,
    )


def _speech() -> Any:
    """30 s of two people on the telephone, from where they begin to talk."""
    spec = importlib.util.find_spec("pyannote")
    if spec is None or spec.submodule_search_locations is None:
        sys.exit(
            "pyannote.audio is not installed, whose sample is the speech; it needs none of what it imports"
        )
    sample = Path(spec.submodule_search_locations[0], "audio", "sample", "sample.wav")
    with wave.open(str(sample), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    return np.roll(samples, round(-_SILENT_S * SAMPLE_RATE_HZ))


def _shape(shape: reciting.Shape) -> str:
    return (
        f"{shape.encoder_layers} + {shape.decoder_layers} layers of {shape.dimensions} dimensions, "
        f"{shape.heads} heads, reciting {shape.words} words in each window"
    )


if __name__ == "__main__":
    main()
