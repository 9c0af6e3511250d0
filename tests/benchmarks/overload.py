"""Twenty times as much as the daemon can do, for minutes: what it still does, and how it says no.

The best throughput is that of clients who wait for their answers (closed loop), more than are worked for
at once. Then clips come at twenty times that rate, whether anything is answered or not (open loop), from
several addresses, each over a connection of its own.

A refusal is timed three times. The server's own time is what the journal tells of each request, from its head
on. The flood's clients share the cores with the daemon, so what they see is its time and theirs. The third is
what one more client sees: a process of its own that asks a few times a second and sleeps between, so that it
has next to nothing to do, and whose answers wait for nothing but the daemon and a core.
"""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import psutil
from running import Daemon

from .client import Form, form, get, post
from .material import cut
from .report import Figure, percentile, spread

MODELS: Final = ("tiny.en", "base")
"""With the smallest most comes, and most is refused; the other is what a CPU has unless told otherwise."""
TIMES: Final = 20
SECONDS: Final = 300
BEST_SECONDS: Final = 60
CLIP_S: Final = 4
WAIT_S: Final = 5
"""`limits.wait`: what was let in takes as long after the flood, so it is also as long until all is normal."""
REFUSAL_GOAL_MS: Final = 50
NORMAL_GOAL_S: Final = 5
NORMAL_TIMES: Final = 2
_AT_ONCE: Final = 48
_SPEECH_FROM_S: Final = 8
_PROBES_A_SECOND: Final = 5
_LOOK_S: Final = 0.05
_MEASURED: Final = 40
"""Clips that tell the daemon what to expect of others."""
_LINE: Final = re.compile(r"path=/v1/audio/transcriptions status=(\d+) .*?wall_s=([\d.]+)")
_REFUSED: Final = (429, 503)


class Asked(NamedTuple):
    """One request of a flood; seconds since its first."""

    began: float
    sent: float | None
    ended: float | None
    status: int
    """0 where there was no answer."""
    retry_after_s: int | None


def measure(
    directory: Path, seconds: float = SECONDS, best_seconds: float = BEST_SECONDS
) -> Iterator[Figure]:
    """Throughput, refusals, what was let in, and how soon it is normal again, with each model."""
    for model in MODELS:
        yield from _model(directory, model, seconds, best_seconds)


def _model(directory: Path, model: str, seconds: float, best_seconds: float) -> Iterator[Figure]:
    directory = directory / model
    directory.mkdir()
    clip = cut(directory / "clip.wav", seconds=CLIP_S, start=_SPEECH_FROM_S)
    upload = form("/v1/audio/transcriptions", clip, language="en")
    raw = directory / "upload"
    raw.write_bytes(_raw(upload))
    with _daemon(directory / "best", model) as daemon:
        best = _rate(_told(_start(daemon.port, raw, best_seconds, "--at-once", _AT_ONCE)), best_seconds)
    how = f"{_AT_ONCE} at once for {best_seconds:g} s"
    yield Figure(f"clips a second, {model}, best", best, "/s", None, how)
    with _daemon(directory / "flooded", model, WHISPERD_LIMITS__WAIT=f"{WAIT_S}s") as daemon:
        alone_s = statistics.median(post(daemon.port, upload) for _ in range(_MEASURED))
        before, daemons_s, clients_s = len(daemon.log()), _cpu_s(daemon), _children_s()
        flood = _start(daemon.port, raw, seconds, "--rate", TIMES * best)
        probe = _start(daemon.port, raw, seconds, "--rate", _PROBES_A_SECOND)
        time.sleep(seconds)
        daemons_s = _cpu_s(daemon) - daemons_s
        normal_s = _normal(daemon.port, upload, NORMAL_TIMES * alone_s)
        emptied_s = normal_s + _emptied(daemon)
        asked, probed = _told(flood), _told(probe)
        clients_s = _children_s() - clients_s
        log = daemon.log()[before:]
    cores_s = seconds * len(os.sched_getaffinity(0))
    yield from _throughput([*asked, *probed], best, seconds, clients_s / cores_s)
    how = "of all cores; what is left is the workers'"
    yield Figure("  taken by the daemon's own process", 100 * daemons_s / cores_s, "%", None, how)
    yield Figure("  taken by the clients", 100 * clients_s / cores_s, "%", None, how)
    yield from _refusals(asked, probed, log)
    yield from _accepted([*asked, *probed])
    how = f"{NORMAL_TIMES} times the {alone_s:.2f} s that it takes alone, at the most"
    yield Figure("from the flood's end to a newcomer's usual answer", normal_s, "s", NORMAL_GOAL_S, how)
    yield Figure("  to the end of the last that was let in", emptied_s, "s")


def _daemon(directory: Path, model: str, **settings: str) -> Daemon:
    directory.mkdir()
    chosen = {"WHISPERD_TRANSCRIBE__MODEL": model, "WHISPERD_DIARIZE__ENABLED": "false"}
    return Daemon(directory, {**chosen, **settings})


# ---- the flood -----------------------------------------------------------------------------------


def _raw(upload: Form) -> bytes:
    """The request as it goes over the connection."""
    headers = {"Host": "localhost", "Connection": "close", "Content-Length": len(upload.body)}
    lines = [f"{name}: {value}" for name, value in {**headers, **upload.headers}.items()]
    return "\r\n".join([f"POST {upload.path} HTTP/1.1", *lines, "", ""]).encode() + upload.body


def _start(port: int, raw: Path, seconds: float, *how: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "benchmarks.flood", str(port), str(raw), str(seconds), *map(str, how)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def _told(flood: "subprocess.Popen[bytes]") -> list[Asked]:
    """All requests of a flood, once the last has its answer."""
    told, _ = flood.communicate()
    if flood.returncode:
        raise RuntimeError(f"the flood ended with status {flood.returncode}")
    return [Asked(*each) for each in json.loads(told)]


def _cpu_s(daemon: Daemon) -> float:
    """Of its own process alone, which takes requests and refuses them."""
    times = psutil.Process(daemon.process.pid).cpu_times()
    return float(times.user + times.system)


def _children_s() -> float:
    """Of the floods that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _rate(asked: Sequence[Asked], seconds: float) -> float:
    """Answers a second while it lasted, but for the first quarter, in which those who come first begin."""
    start = seconds / 4
    return sum(each.status == 200 and start <= (each.ended or 0) <= seconds for each in asked) / (
        seconds - start
    )


def _normal(port: int, upload: Form, usual_s: float) -> float:
    """Seconds until a clip that comes now is answered in its usual time."""
    began = time.monotonic()
    while True:
        with contextlib.suppress(RuntimeError):  # refused
            if post(port, upload) <= usual_s:
                return time.monotonic() - began
        time.sleep(_LOOK_S)


def _emptied(daemon: Daemon) -> float:
    """Seconds until nothing is to be done any more."""
    began = time.monotonic()
    while any(queue["audio_s"] for queue in json.loads(get(daemon.port, "/health/ready")[1])["queues"]):
        time.sleep(_LOOK_S)
    return time.monotonic() - began


# ---- what came of it -----------------------------------------------------------------------------


def _throughput(
    asked: Sequence[Asked], best: float, seconds: float, clients_share: float
) -> Iterator[Figure]:
    """`clients_share` is what the clients took of the cores, which nobody takes who is on another machine."""
    came = sum(each.began <= seconds for each in asked) / seconds
    done = _rate(asked, seconds)
    yield Figure("clips that came, of the best", came / best, "x", None, f"{len(asked)} in {seconds:g} s")
    how = f"{done:.3g}/s"
    yield Figure("clips answered, of the best", 100 * done / best, "%", 90, how, at_least=True)
    could = best * (1 - clients_share)
    how = f"{could:.3g}/s"
    yield Figure("  of the best on what the clients left", 100 * done / could, "%", None, how)


def _refusals(asked: Sequence[Asked], probed: Sequence[Asked], log: str) -> Iterator[Figure]:
    server = [1000 * float(wall) for status, wall in _LINE.findall(log) if int(status) in _REFUSED]
    for who, milliseconds, goal in (
        ("by the server's own clock", server, REFUSAL_GOAL_MS),
        ("as one more client sees it", _refused_ms(probed), REFUSAL_GOAL_MS),
        ("as the flood's clients see it", _refused_ms(asked), None),
    ):
        for percent in (95, 99):
            value = percentile(milliseconds, percent)
            how = spread(milliseconds)
            yield Figure(f"refused, {who}, {percent}th percentile", value, "ms", goal, how)
    refused = [each for each in (*asked, *probed) if each.status in _REFUSED]
    without = sum(not each.retry_after_s for each in refused)
    waits = sorted(each.retry_after_s or 0 for each in refused)
    how = f"of {len(refused)}; the others name {waits[0]} to {waits[-1]} s"
    yield Figure("refused without Retry-After", without, "", 0, how)


def _refused_ms(asked: Sequence[Asked]) -> list[float]:
    """From the request's end to the answer's; an answer may come before all was sent."""
    return [
        1000 * max(0.0, each.ended - each.sent)
        for each in asked
        if each.status in _REFUSED and each.ended is not None and each.sent is not None
    ]


def _accepted(asked: Sequence[Asked]) -> Iterator[Figure]:
    took = [each.ended - each.began for each in asked if each.status == 200 and each.ended is not None]
    late = sum(seconds > WAIT_S for seconds in took) + sum(each.status == 504 for each in asked)
    how = f"of {len(took)}; 95 of 100 within {percentile(took, 95):.1f} s"
    yield Figure(f"let in and not answered within {WAIT_S} s", late, "", 0, how)
    others = Counter(each.status for each in asked if each.status not in (200, 504, *_REFUSED))
    yield Figure("answered otherwise, or not at all", others.total(), "", 0, f"{dict(others)}")
