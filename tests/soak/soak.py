"""The whole: a daemon, guests for so long, workers that are killed, and what there is to say of it."""

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from running import STATE, Daemon
from torture.moments import Moments
from torture.receiver import Receiver

from soak.asking import Asker, Refused, WorkersDied, Wrong, form
from soak.errands import ERRANDS, pick
from soak.killing import KINDS, Killings, kill_workers
from soak.ledger import Ledger
from soak.material import Material
from soak.rude import UPLOAD_IDLE_S
from soak.watching import Rest, Watch, at_rest, files
from soak.world import World

GUESTS: Final = 6
_SETTINGS: Final = {
    "WHISPERD_FETCH__ALLOW": "127.0.0.1/32",
    "WHISPERD_LIMITS__UPLOAD_IDLE": f"{UPLOAD_IDLE_S}s",
    "WHISPERD_API__KEEP_DOWNLOADS": "10s",
    "WHISPERD_TRANSCRIBE__MODELS": "[]",
    # A job whose workers are killed over and over has not failed by itself.
    "WHISPERD_JOBS__ATTEMPTS": "100",
}
_LONGEST_PAUSE_S: Final = 2.0
_LONGEST_WAIT_S: Final = 10
"""Whoever is told to come back later does not wait longer."""
_AT_REST_WITHIN_S: Final = 90.0
_STOPPED_WITHIN_S: Final = 60
_FAILINGS: Final = ("Traceback", "nobody foresaw", "never retrieved", "was never awaited", "Unclosed")
"""What stands in a log that tells of something that nobody dealt with."""
_LASTING: Final = frozenset({"-wal", "-shm"})
"""Suffixes of files that come and go with an open database."""


@dataclass(frozen=True)
class Report:
    """How it went."""

    wrong: list[str]
    ledger: Ledger
    watch: Watch
    killings: Killings
    seconds: float


async def soak(directory: Path, *, seconds: float, seed: int, kill_every_s: float, growth: float) -> Report:
    """Start a daemon, let guests in for so long, and stop it. Memory may grow by this share."""
    chance = random.Random(seed)
    temporary = directory / "tmp"
    temporary.mkdir()
    daemon = Daemon(directory, _SETTINGS | {"TMPDIR": str(temporary)})
    state, spool = directory / "var", directory / "spool"
    killings, ledger = Killings(), Ledger()
    with daemon:
        process = psutil.Process(daemon.process.pid)
        async with _world(daemon, killings, seed) as world:
            for kind in ERRANDS:
                await _visit(world, ledger, kind, chance)
            before = await _rested(process, spool)
            kept = files(state)
            watch = Watch(process, spool)
            began = time.monotonic()
            async with _beside(
                watch.look_on(),
                kill_workers(
                    process,
                    killings,
                    world.asker.is_ready,
                    every_s=kill_every_s,
                    chance=random.Random(chance.random()),
                ),
            ):
                await _guests(world, ledger, chance, began + seconds)
            after = await _rested(process, spool, before)
            restarts = sum(daemon.restarts(kind) for kind in KINDS)
        wrong = [*ledger.wrong(), *killings.wrong(), *watch.wrong(growth), *after.more_than(before)]
        if restarts != len(killings.all):
            wrong.append(f"{len(killings.all)} workers were killed, and {restarts} started again")
        wrong += _stopped(daemon, process)
    wrong += [f"{name} is left in the state" for name in sorted(_lasting(files(state)) - _lasting(kept))]
    wrong += [
        f"{name} is left in the spool after the end" for name in sorted(path.name for path in spool.iterdir())
    ]
    wrong += [f"{name} is left where temporary files are" for name in sorted(files(temporary))]
    wrong += [f"the log has {sign!r}" for sign in _FAILINGS if sign in daemon.log()]
    return Report(wrong, ledger, watch, killings, time.monotonic() - began)


# ---- guests --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _world(daemon: Daemon, killings: Killings, seed: int) -> AsyncIterator[World]:
    """What guests need, with references that were taken while nothing else happened."""
    secret = await asyncio.to_thread(daemon.command, "keys", "webhook-secret", "anybody")
    listening = socket.create_server(("127.0.0.1", 0))
    host, port = listening.getsockname()
    async with (
        Receiver(Moments(), seed, secret.stdout.strip()) as receiver,
        Asker(daemon.url, killings) as asker,
    ):
        await receiver.up(listening)
        material, references = Material(), {}
        for recording in (*material.clips, material.long):
            body = form(("file", recording), language="en")
            answer = await asker.ask("POST", "/v1/audio/transcriptions", body)
            references[recording.says] = answer.json["text"]
        yield World(asker, material, receiver, f"http://{host}:{port}", references)


async def _guests(world: World, ledger: Ledger, chance: random.Random, until: float) -> None:
    """All of them, each until it has its last answer."""
    async with asyncio.TaskGroup() as guests:
        for _ in range(GUESTS):
            guests.create_task(_guest(world, ledger, random.Random(chance.random()), until))


async def _guest(world: World, ledger: Ledger, chance: random.Random, until: float) -> None:
    while time.monotonic() < until:
        wait_s = await _visit(world, ledger, pick(chance), chance)
        await asyncio.sleep(min(wait_s, _LONGEST_WAIT_S) + chance.uniform(0, _LONGEST_PAUSE_S))


async def _visit(world: World, ledger: Ledger, kind: str, chance: random.Random) -> int:
    """Run an errand; returns for how many seconds the guest was asked to stay away."""
    visit = ledger.open(kind)
    try:
        ledger.close(visit, await ERRANDS[kind].run(world, chance))
    except Refused as refused:
        ledger.close(visit, "refused")
        return refused.retry_after_s
    except WorkersDied:
        ledger.close(visit, "workers died")
    except Wrong as wrong:
        ledger.complain(visit, str(wrong))
    except (LookupError, TypeError, ValueError) as error:
        ledger.complain(visit, f"an answer of another shape: {error!r}")
    return 0


@contextlib.asynccontextmanager
async def _beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Until the context is left; it fails as they do."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in running:
                task.cancel()


# ---- the end -------------------------------------------------------------------------------------


async def _rested(process: psutil.Process, spool: Path, before: Rest | None = None) -> Rest:
    """What it holds when nothing has happened for a while; of several looks, the first that finds no more
    than before.
    """
    deadline = time.monotonic() + _AT_REST_WITHIN_S
    last = at_rest(process, spool)
    while True:
        await asyncio.sleep(2)
        rest = at_rest(process, spool)
        settled = not rest.more_than(before) if before else rest == last and not rest.spooled
        if settled or time.monotonic() > deadline:
            return rest
        last = rest


def _stopped(daemon: Daemon, process: psutil.Process) -> Iterator[str]:
    """Stop it; what is wrong with its end."""
    children = process.children(recursive=True)
    daemon.process.terminate()
    status = daemon.process.wait(_STOPPED_WITHIN_S)
    if status:
        yield f"it ended with status {status}"
    _, alive = psutil.wait_procs(children, timeout=10)
    yield from (f"process {child.pid} is left" for child in alive)


def _lasting(names: set[str]) -> set[str]:
    return {name for name in names if name[-4:] not in _LASTING}


def why_not() -> str | None:
    """Why it can't be run here."""
    for model in ("tiny.en", "diarization"):
        if not (STATE / "models" / model).is_dir():
            return f"the model {model} is not there: make models"
    return None
