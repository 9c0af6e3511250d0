"""A worker without a model: `python tests/fake_worker.py KIND FD` speaks the protocol and does as it is told.

What a job does is written in its own fields: the name of a file to decode, the prompt of a transcription.
`ok`, `crash` (dies at once), `crash-once` (the first time that this file is seen), `crash-after-segment` (as
before, having told of a segment), `hang` (no progress until killed), `freeze` (the whole process stops),
`hang-up` (as before, having said that this is the end), `wait` (until cancelled), `when-told` (waits for a
file), `count` (writes a line to a file), `doubted` (says more than was said), `leak` (keeps 32 MiB),
`lost-card` (finds no card any more), `lost-card-once`, `oom`, `bad-audio`, `bad-language`, `bug`.
`fail-to-load` as the model's name fails to load, `die-at-load` dies while loading.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from whisperd.engine import Cancelled, Progress
from whisperd.engine.host import Host
from whisperd.errors import MediaError, OutOfMemory, ParameterError, StartError
from whisperd.protocol import (
    SAMPLE_RATE_HZ,
    AnyJob,
    Decoded,
    DecodeJob,
    DecodeSetup,
    Diarized,
    DiarizeJob,
    Encoded,
    MixJob,
    PadJob,
    Ready,
    Setup,
    Transcribed,
    TranscribeJob,
)
from whisperd.transcript.model import Diarization, Segment, Turn, Word

SEGMENT = Segment(
    id=0,
    start=0.5,
    end=6.5,
    text=" Hello there.",
    words=[Word(" Hello", 0.5, 1.0, 0.9), Word(" there.", 6.0, 6.5, 0.9)],
)
DOUBTED = Segment(id=1, start=7.0, end=9.0, text=" La la la.", doubts=["repeated", "no_voice"])

LEAKED: list[bytes] = []


class FakeEngine:
    """Answers every job at once, unless the job says otherwise."""

    concurrency = 4

    def describe(self) -> Ready:
        return Ready(load_s=0.0, languages=["en", "de"])

    def run(self, job: AnyJob, progress: Progress, cancelled: Callable[[], bool]) -> Any:
        match job:
            case DecodeJob():
                behave(Path(job.source).stem, Path(job.source), progress, cancelled)
                return Decoded(10 * SAMPLE_RATE_HZ, "wav", "pcm_s16le", 16_000, 1)
            case PadJob():
                behave(Path(job.source).stem, Path(job.source), progress, cancelled)
                Path(job.target).write_bytes(b"padded")
                return Encoded(job.silence_s + 10.0)
            case MixJob():
                for source in job.sources:
                    behave(Path(source).stem, Path(source), progress, cancelled)
                Path(job.target).write_bytes(b"mixed")
                return Encoded(max(job.delays_s) + 10.0)
            case TranscribeJob():
                behave(job.prompt or "ok", Path(job.audio), progress, cancelled)
                if job.prompt != "doubted":
                    return Transcribed("en", 1.0, [SEGMENT])
                if job.drop_doubted:
                    return Transcribed("en", 1.0, [SEGMENT], dropped=1)
                return Transcribed("en", 1.0, [SEGMENT, DOUBTED])
            case DiarizeJob():
                behave("oom" if job.hints.exactly == 13 else "ok", Path(job.audio), progress, cancelled)
                turns = [Turn(0.0, 5.0, "SPEAKER_00"), Turn(5.0, 10.0, "SPEAKER_01")]
                return Diarized(Diarization(turns, turns))


def behave(how: str, witness: Path, progress: Progress, cancelled: Callable[[], bool]) -> None:
    """Do what the job asks for; `witness` lies where a mark of an earlier attempt may stand."""
    match how:
        case "crash":
            os._exit(3)
        case "crash-once":
            mark = witness.with_suffix(".crashed")
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        case "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(60)  # a stop reaches a thread on the other core a moment later
        case "hang-up":
            socket.socket(fileno=os.dup(int(sys.argv[2]))).shutdown(socket.SHUT_WR)
            behave("freeze", witness, progress, cancelled)
        case "hang":
            while not cancelled():
                time.sleep(0.01)
            while True:
                time.sleep(1)
        case "crash-after-segment":
            progress(5.0, SEGMENT)
            behave("crash-once", witness, progress, cancelled)
        case "when-told":
            while not witness.with_suffix(".told").exists():
                time.sleep(0.01)
        case "count":
            with witness.with_suffix(".decodings").open("a", encoding="ascii") as record:
                record.write("one more\n")
        case "wait":
            while not cancelled():
                progress(1.0)
                time.sleep(0.01)
            raise Cancelled
        case "leak":
            LEAKED.append(b"x" * 2**25)
        case "lost-card-once":
            mark = witness.with_suffix(".lost")
            if not mark.exists():
                mark.touch()
                behave("lost-card", witness, progress, cancelled)
        case "lost-card":
            raise RuntimeError("CUDA failed with error unspecified launch failure in /usr/lib/libcuda.so")
        case "oom":
            raise OutOfMemory("not enough memory for this recording")
        case "bad-audio":
            raise MediaError("the file is not a recording")
        case "bad-language":
            raise ParameterError("no such language", param="language")
        case "bug":
            raise KeyError(how)
        case _:
            progress(5.0)


def load(setup: Setup) -> FakeEngine:
    """As slow or as broken as the model's name says."""
    model = "" if isinstance(setup, DecodeSetup) else setup.model
    match model:
        case "fail-to-load":
            raise StartError("the model is damaged")
        case "die-at-load":
            os._exit(5)
    return FakeEngine()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[2])) as connection:
        Host(connection, load).serve()
    os._exit(0)
