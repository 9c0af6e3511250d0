"""Many short recordings at once, and a long one: the daemon beside faster-whisper by itself.

faster-whisper runs in this process, on 1 thread and on as many as there are cores; the faster of the two in a
trial counts. It and the daemon take turns, so that whatever else the machine does meets both alike, and each
ratio is of one turn's pair. Beside each time stands how many words were wrong.
"""

import functools
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import psutil
from running import Daemon

from . import spoken
from .alone import Alone
from .client import Form, exchange, form
from .report import Figure, percentile, spread
from .spoken import Spoken

MODELS: Final = ("tiny.en", "base")
CLIPS: Final = 32
TURNS: Final = 3
TRIAL_S: Final = 120
_FIELDS: Final = {
    "language": "en",
    "response_format": "verbose_json",
    "timestamp_granularities[]": "word",
}
_CORES: Final = len(os.sched_getaffinity(0))


class Outcome(NamedTuple):
    """Of one turn."""

    seconds: float
    wrong: int
    """Words."""


def measure(directory: Path) -> Iterator[Figure]:
    """Both models; nothing where the corpus is absent."""
    clips = spoken.clips(directory)
    if not clips:
        return
    for model in MODELS:
        yield from _model(directory, model, clips)


def _model(directory: Path, name: str, clips: Sequence[Spoken]) -> Iterator[Figure]:
    alone = [Alone(name, threads) for threads in sorted({1, _CORES})]
    many = list(itertools.islice(itertools.cycle(clips), CLIPS))
    long = spoken.joined(directory, clips)
    trial = spoken.joined(directory, clips, seconds=TRIAL_S)
    short = min(clips, key=lambda clip: abs(len(clip.samples) - 3 * 16_000))
    settings = {
        "WHISPERD_TRANSCRIBE__MODEL": name,
        "WHISPERD_TRANSCRIBE__COMPUTE_TYPE": "int8",
        "WHISPERD_TRANSCRIBE__DEVICE": "cpu",
        "WHISPERD_DIARIZE__ENABLED": "false",
    }
    with Daemon(directory, settings) as daemon:
        posted = functools.partial(_posted, daemon.port)
        posted(many)
        yield from _ratios(
            f"{CLIPS} clips at once, {name}, against WhisperModel.transcribe, one after the other",
            5.0,
            many,
            clips,
            posted,
            [each.transcribe for each in alone],
        )
        yield from _loss(daemon, name, many)
        yield _latency(daemon, name, alone[0], many)
        yield from _ratios(
            f"one clip of 3 s, {name}, against WhisperModel.transcribe",
            2.5,
            [short],
            [short],
            posted,
            [each.transcribe for each in alone],
        )
        yield from _ratios(
            f"{spoken.LONG_S} s, {name}, against WhisperModel.transcribe",
            2.0,
            [long],
            [trial],
            posted,
            [each.transcribe for each in alone],
        )
        yield from _ratios(
            f"{spoken.LONG_S} s, {name}, against BatchedInferencePipeline",
            1.2,
            [long],
            [trial],
            posted,
            [functools.partial(each.transcribe_batched, size=size) for each in alone for size in (4, 8, 16)],
        )
        yield from _words(name, [*clips, spoken.telephone(directory)], posted, alone[0])


def _posted(port: int, recordings: Sequence[Spoken]) -> list[str]:
    """What the daemon hears in them, all posted at once."""
    uploads = [form("/v1/audio/transcriptions", each.path, **_FIELDS) for each in recordings]
    return [text for _, text in _exchanged(port, uploads)]


def _exchanged(port: int, uploads: Sequence[Form]) -> list[tuple[float, str]]:
    with ThreadPoolExecutor(len(uploads)) as clients:
        replies = list(clients.map(functools.partial(exchange, port), uploads))
    return [(seconds, str(json.loads(body)["text"])) for seconds, body in replies]


def _ratios(
    what: str,
    goal: float,
    recordings: Sequence[Spoken],
    trial: Sequence[Spoken],
    ours: Callable[[Sequence[Spoken]], list[str]],
    theirs: Sequence[Callable[[Sequence[Spoken]], list[str]]],
) -> Iterator[Figure]:
    """How many times as fast as the one of the others that is the fastest in a trial."""
    best = min(theirs, key=lambda run: _turn(run, trial).seconds)
    turns = [(_turn(ours, recordings), _turn(best, recordings)) for _ in range(TURNS)]
    ratios = [their.seconds / our.seconds for our, their in turns]
    words = sum(spoken.length(each.words) for each in recordings)
    yield Figure(what, statistics.median(ratios), "x", goal, spread(ratios), at_least=True)
    for who, outcomes in zip(("the daemon", "the other"), zip(*turns, strict=True), strict=True):
        wrong = statistics.median_high([each.wrong for each in outcomes])
        seconds = [each.seconds for each in outcomes]
        how = f"{spread(seconds)}; {wrong} of {words} words wrong"
        yield Figure(f"  {who}", statistics.median(seconds), "s", None, how)


def _turn(run: Callable[[Sequence[Spoken]], list[str]], recordings: Sequence[Spoken]) -> Outcome:
    started = time.perf_counter()
    texts = run(recordings)
    seconds = time.perf_counter() - started
    return Outcome(seconds, _wrong(recordings, texts))


def _wrong(recordings: Sequence[Spoken], texts: Sequence[str]) -> int:
    return sum(spoken.errors(each.words, text) for each, text in zip(recordings, texts, strict=True))


def _loss(daemon: Daemon, name: str, clips: Sequence[Spoken]) -> Iterator[Figure]:
    """What of CTranslate2's own speed is left after detection, chunking, features, checks and HTTP."""
    worker = next(
        each for each in psutil.Process(daemon.process.pid).children() if "transcribe" in each.cmdline()
    )
    command = [sys.executable, "-m", "benchmarks.bare", name, *(str(each.path) for each in clips)]
    posted = functools.partial(_posted, daemon.port)
    environment = worker.environ() | {"PYTHONPATH": os.pathsep.join(sys.path)}
    shares = []
    for _ in range(TURNS):
        bare = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        shares.append(float(bare.stdout) / _turn(posted, clips).seconds)
    yield Figure(
        f"{CLIPS} clips at once, {name}, of CTranslate2's speed alone",
        100 * statistics.median(shares),
        "%",
        90,
        spread(shares, 100),
        at_least=True,
    )


def _latency(daemon: Daemon, name: str, alone: Alone, clips: Sequence[Spoken]) -> Figure:
    """All at once, and through a lock that lets one after the other transcribe."""
    uploads = [form("/v1/audio/transcriptions", each.path, **_FIELDS) for each in clips]
    waits = [seconds for seconds, _ in _exchanged(daemon.port, uploads)]
    locked = list(itertools.accumulate(_turn(alone.transcribe, [clip]).seconds for clip in clips))
    ours, theirs = percentile(waits, 95), percentile(locked, 95)
    return Figure(
        f"95th percentile of {CLIPS} clips at once, {name}, against one lock around transcribe",
        ours / theirs,
        "",
        0.5,
        f"{ours:.2f} s and {theirs:.2f} s",
    )


def _words(
    name: str,
    recordings: Sequence[Spoken],
    ours: Callable[[Sequence[Spoken]], list[str]],
    alone: Alone,
) -> Iterator[Figure]:
    """Each recording by itself."""
    wrong = _wrong(recordings, [ours([each])[0] for each in recordings])
    theirs = _wrong(recordings, alone.transcribe(recordings))
    words = sum(spoken.length(each.words) for each in recordings)
    yield Figure(
        f"words wrong in {len(recordings)} recordings, {name}; goal: faster-whisper's",
        wrong,
        f"of {words}",
        theirs,
    )
