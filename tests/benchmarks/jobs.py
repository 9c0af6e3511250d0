"""Jobs: from an upload's last byte to the promise, the list of very many, and kills."""

import asyncio
import datetime
import http.client
import json
import statistics
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from random import randbytes
from typing import Final

from running import Daemon
from torture.local import local_victim
from torture.round import torture

from whisperd.access.caller import ANYBODY
from whisperd.jobs.model import Job, Source, Work
from whisperd.jobs.sqlite import open_store
from whisperd.jobs.store import Store
from whisperd.transcript.model import Segment, Transcript

from .client import Form, get
from .report import Figure, percentile, spread

PROMISE_GOAL_MS: Final = 20
UPLOAD_BYTES: Final = 10_000_000
UPLOADS: Final = 50
LIST_GOAL_MS: Final = 20
FINISHED: Final = 100_000
LISTS: Final = 200
ROUND_JOBS: Final = 60
_GIGABIT: Final = 125_000_000
"""Bytes a second."""
_PIECE: Final = 65_536
_AT_ONCE: Final = 500


def measure(directory: Path) -> Iterator[Figure]:
    """The three, each with a state directory of its own."""
    yield from _promises(_fresh(directory / "promises"))
    yield from _lists(_fresh(directory / "lists"))
    yield from _kills(_fresh(directory / "kills"))


def _fresh(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _daemon(directory: Path) -> Daemon:
    return Daemon(directory, {"WHISPERD_DIARIZE__ENABLED": "false"})


# ---- promises ------------------------------------------------------------------------------------


def _promises(directory: Path) -> Iterator[Figure]:
    with _daemon(directory) as daemon:
        for name, bytes_per_s, goal in (
            ("from the last byte of 10 MB at 1 Gbit/s to the 202", _GIGABIT, PROMISE_GOAL_MS),
            ("  as fast as the machine sends to itself", None, None),
        ):
            _promise_ms(daemon.port, bytes_per_s)
            milliseconds = [_promise_ms(daemon.port, bytes_per_s) for _ in range(UPLOADS)]
            yield Figure(name, statistics.median(milliseconds), "ms", goal, spread(milliseconds))


def _promise_ms(port: int, bytes_per_s: int | None) -> float:
    """One upload. It is noise: what the engine would make of it is not the question here."""
    upload = _noise()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.putrequest("POST", upload.path)
    for name, value in {**upload.headers, "Content-Length": str(len(upload.body))}.items():
        connection.putheader(name, value)
    connection.endheaders()
    began = time.perf_counter()
    for start in range(0, len(upload.body), _PIECE):
        connection.send(upload.body[start : start + _PIECE])
        if bytes_per_s:
            time.sleep(max(0.0, began + start / bytes_per_s - time.perf_counter()))
    sent = time.perf_counter()
    reply = connection.getresponse()
    body = reply.read()
    milliseconds = 1000 * (time.perf_counter() - sent)
    connection.close()
    if reply.status != 202:
        raise RuntimeError(f"POST {upload.path}: {reply.status} {body[:500]!r}")
    get(port, f"/v1/jobs/{json.loads(body)['id']}?wait=60")
    return milliseconds


def _noise() -> Form:
    boundary = uuid.uuid4().hex
    head = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="language_code"\r\n\r\n'
        "en\r\n"
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="audio"; filename="noise.mp3"\r\n'
        "Content-Type: audio/mpeg\r\n\r\n"
    )
    body = head.encode() + randbytes(UPLOAD_BYTES) + f"\r\n--{boundary}--\r\n".encode()
    return Form("/v1/transcriptions", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})


# ---- lists ---------------------------------------------------------------------------------------


def _lists(directory: Path) -> Iterator[Figure]:
    began = time.perf_counter()
    asyncio.run(_fill(directory / "var" / "jobs"))
    yield Figure(f"storing and finishing {FINISHED} jobs", time.perf_counter() - began, "s")
    with _daemon(directory) as daemon:
        for name, query, goal in (
            (f"GET /v1/jobs beside {FINISHED} finished ones, 99th percentile", "limit=100", LIST_GOAL_MS),
            ("  the completed ones", "limit=100&status=completed", None),
            ("  the last page", f"limit=100&offset={FINISHED - 100}", None),
        ):
            path = f"/v1/jobs?{query}"
            if len(json.loads(get(daemon.port, path)[1])) != 100:
                raise RuntimeError(f"{path} does not list 100 jobs")
            milliseconds = [1000 * get(daemon.port, path)[0] for _ in range(LISTS)]
            yield Figure(name, percentile(milliseconds, 99), "ms", goal, spread(milliseconds))


async def _fill(directory: Path) -> None:
    """As many jobs as a year of busy days leaves."""
    store = await open_store(directory)
    try:
        for _ in range(FINISHED // _AT_ONCE):
            await asyncio.gather(*(_finished(store) for _ in range(_AT_ONCE)))
    finally:
        await store.close()


async def _finished(store: Store) -> None:
    """One job from its coming to its end."""
    now = datetime.datetime.now(datetime.UTC)
    job = Job(
        id=str(uuid.uuid4()),
        type="transcription",
        status="queued",
        owner=ANYBODY,
        source=Source(digest=uuid.uuid4().hex * 2, filename="talk.wav", size=1_000_000),
        work=Work(),
        created_at=now,
    )
    await store.add(job)
    claimed = await store.claim(at=now)
    assert claimed
    segment = Segment(id=0, start=0.0, end=5.0, text="A few words, as they are said.")
    transcript = Transcript(duration=5.0, language="en", segments=[segment])
    assert await store.complete(claimed.id, claimed.attempts, transcript, at=now)


# ---- kills ---------------------------------------------------------------------------------------


def _kills(directory: Path) -> Iterator[Figure]:
    with local_victim(directory) as victim:
        report = asyncio.run(torture(victim, seed=1, jobs=ROUND_JOBS))
    yield Figure(
        f"jobs lost, doubled or wrong of {ROUND_JOBS} in {report.kills} kills", len(report.wrong), "", 0
    )
