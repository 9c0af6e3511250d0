"""What the daemon adds to the time that faster-whisper takes by itself for one recording."""

import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from running import STATE, Daemon

from whisperd.config.schema import Cuda
from whisperd.cuda.environment import worker_environment

from .client import Form, form, get, post
from .material import speech_of_11_s
from .report import Figure, spread

GOAL_MS: Final = 15
MODELS: Final = ("tiny.en", "base")
PAIRS: Final = 15
_WARM_UP: Final = 2
_STAGE_SUM: Final = re.compile(rb'whisperd_stage_seconds_sum\{stage="(decode|transcribe)"\} (\S+)')


def measure(directory: Path) -> Iterator[Figure]:
    """Both models."""
    recording = speech_of_11_s(directory)
    upload = form("/v1/audio/transcriptions", recording, response_format="json")
    for model in MODELS:
        pairs = _pairs(directory, model, recording, upload)
        added = [1000 * seconds for seconds in pairs.added]
        yield Figure(
            f"added to 11 s, {model}: request minus faster-whisper alone",
            statistics.median(added),
            "ms",
            GOAL_MS,
            spread(added),
        )
        for stage, values in pairs.stages.items():
            milliseconds = [1000 * seconds for seconds in values]
            yield Figure(
                f"  of this, {stage}", statistics.median(milliseconds), "ms", None, spread(milliseconds)
            )
        yield Figure(
            "  faster-whisper alone",
            1000 * statistics.median(pairs.alone),
            "ms",
            None,
            spread(pairs.alone, 1000),
        )


@dataclass
class _Pairs:
    """Seconds, one for each pair of measurements."""

    alone: list[float] = field(default_factory=list)
    added: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    """Where the added seconds went."""

    def add(self, alone: tuple[float, float], request_s: float, decode_s: float, transcribe_s: float) -> None:
        self.alone.append(sum(alone))
        self.added.append(request_s - sum(alone))
        for stage, seconds in (
            ("decoding in a process of its own", decode_s - alone[0]),
            ("transcribing in a process of its own", transcribe_s - alone[1]),
            ("HTTP, upload, spool, reply", request_s - decode_s - transcribe_s),
        ):
            self.stages.setdefault(stage, []).append(seconds)


def _pairs(directory: Path, model: str, recording: Path, upload: Form) -> _Pairs:
    """The two by turns, so that whatever else the machine does meets both alike."""
    pairs = _Pairs()
    settings = {
        "WHISPERD_TRANSCRIBE__MODEL": model,
        "WHISPERD_TRANSCRIBE__COMPUTE_TYPE": "int8",
        "WHISPERD_TRANSCRIBE__DEVICE": "cpu",
        "WHISPERD_DIARIZE__ENABLED": "false",
    }
    with Daemon(directory, settings) as daemon, _alone(model) as alone:
        for number in range(-_WARM_UP, PAIRS):
            alone_first = number % 2 == 0
            if alone_first:
                by_itself = _ask(alone, recording)
            before = _stages(daemon.port)
            request_s = post(daemon.port, upload)
            after = _stages(daemon.port)
            if not alone_first:
                by_itself = _ask(alone, recording)
            if number >= 0:
                spent = {stage: after[stage] - before.get(stage, 0.0) for stage in after}
                pairs.add(by_itself, request_s, spent["decode"], spent["transcribe"])
    return pairs


@contextmanager
def _alone(model: str) -> "Iterator[subprocess.Popen[str]]":
    """faster-whisper with the environment and the options that the daemon gives its worker."""
    process = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("engine_alone.py")),
            str(STATE / "models" / model),
            str(len(os.sched_getaffinity(0))),
        ],
        env=dict(worker_environment(Cuda(), os.environ, "cpu", cache=STATE / "cache", threads=1)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process


def _ask(process: "subprocess.Popen[str]", recording: Path) -> tuple[float, float]:
    """Seconds of decoding and of transcribing."""
    assert process.stdin
    assert process.stdout
    print(recording, file=process.stdin, flush=True)
    decode_s, transcribe_s = process.stdout.readline().split()
    return float(decode_s), float(transcribe_s)


def _stages(port: int) -> dict[str, float]:
    """The seconds that all requests so far have spent in each stage."""
    _, exposition = get(port, "/metrics")
    return {stage.decode(): float(seconds) for stage, seconds in _STAGE_SUM.findall(exposition)}
