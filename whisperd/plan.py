"""From the configuration, the machine and the models: which workers to start, with what."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from whisperd.config.schema import Config
from whisperd.cuda.choice import (
    DIARIZATION_BYTES,
    Choice,
    choose,
    choose_diarization,
    default_model,
    memory_need,
    windows_at_once,
)
from whisperd.cuda.environment import worker_environment
from whisperd.cuda.facts import Facts
from whisperd.cuda.probe import probe
from whisperd.errors import StartError
from whisperd.models import catalogue
from whisperd.models.store import Store
from whisperd.protocol import DecodeSetup, DiarizeSetup, Kind, Setup, TranscribeSetup, TranslateSetup
from whisperd.scheduler import Role
from whisperd.service import Serving
from whisperd.transcript.model import Notice

CACHE: Final = "cache"
"""Under the state directory: what workers keep from start to start."""

RECORDINGS_AT_ONCE: Final = 32
"""They share batches, so they cost the device nothing until it has time for them."""

_WINDOWS_ON_A_CPU: Final = 4
"""In a batch: with more the caches are too small."""

_SPEED_OF_A_CORE: Final = 1.2e9
"""Seconds of audio a second, times bytes of the weights in float16: what a core does with a Whisper model."""
_SPEED_OF_A_CARD: Final = 1e11
_MOST_SPEED: Final = 200.0
_UNKNOWN_WEIGHTS: Final = 10**9
_DIARIZATION_SPEEDS: Final[Mapping[str, float]] = {"cpu": 5.0, "cuda": 60.0}
"""Seconds of audio a second: of a core, of a card."""

_MOST_LANES: Final = 8
"""Threads of a diarization, at most: each holds a batch, of some 100 MB."""


def _malloc(**tunables: int) -> Mapping[str, str]:
    """The environment that sets these options of glibc's allocator."""
    return {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}={value}" for name, value in tunables.items())}


_KEEP: Final = _malloc(mmap_threshold=2**31, trim_threshold=2**31, arena_max=1, hugetlb=1)
"""The encoder's blocks, of 54 MB for each layer of a full window, are used again, in large pages. Without it
glibc takes them from the system each time, page by page, which is a third of the encoder's time."""

_KEEP_FOR_A_WHILE: Final = _malloc(mmap_threshold=2**24, trim_threshold=2**30, arena_max=1)
"""The blocks of a diarization's batches are used again, too, until the worker gives them back, every few
batches. Taking each from the system costs a third of the time, and keeping them for good hundreds of MB."""

NO_QUESTION: Final = Facts()
"""Where only the CPU is wanted, the GPUs are not asked about."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One worker: what it loads, in which environment, and how many jobs it takes at once."""

    kind: Kind
    setup: Setup
    environment: Mapping[str, str]
    slots: int
    need_bytes: int = 0
    """Memory that it takes on its device, about."""
    speed: float = 1.0
    """Seconds of audio that it does in a second, until that is measured; roughly."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is settled before the first process starts."""

    workers: tuple[WorkerPlan, ...]
    """Those of one kind, on several devices, stand one after the other."""
    serving: Serving
    store: Store
    on_demand: Callable[[Role], tuple[WorkerPlan, ...]]
    """The workers for a model that a request names, one for each device. Raises StartError."""


async def make_plan(config: Config, environ: Mapping[str, str]) -> Plan:
    """Probe the machine and plan for it. Raises StartError with what is missing and how to get it."""
    cache = config.paths.state / CACHE
    facts = NO_QUESTION
    if config.transcribe.device != "cpu" or _diarizes_elsewhere(config):
        facts = await asyncio.to_thread(probe, config.cuda, environ, cache=cache)
    return plan(config, environ, facts, cores=len(os.sched_getaffinity(0)))


def plan(config: Config, environ: Mapping[str, str], facts: Facts, *, cores: int) -> Plan:
    """Plan for a machine with these GPUs and `cores`. Raises StartError."""
    store = Store(config.paths.state)
    shared = config.diarize.enabled and config.diarize.device != "cpu"
    reserved = DIARIZATION_BYTES if shared else 0
    model, choices = choose_model(config, store, facts, reserved_bytes=reserved)
    planner = _Planner(config, environ, store, cores)
    workers = [planner.decode(), *(planner.transcribe(model, choice) for choice in choices)]
    diarizations: tuple[Choice, ...] = ()
    if config.diarize.enabled:
        diarizations = choose_diarization(config.diarize.device, choices, facts)
        workers += map(planner.diarize, diarizations)

    def on_demand(role: Role) -> tuple[WorkerPlan, ...]:
        if role.kind == "translate":
            return (planner.translate(role.model or ""),)
        places = choose("cpu", "auto", facts, weights_bytes=0) if role.device == "cpu" else choices
        return tuple(planner.transcribe(role.model or model, place) for place in places)

    return Plan(
        workers=tuple(workers),
        store=store,
        on_demand=on_demand,
        serving=Serving(
            model=model,
            device=",".join(choice.label for choice in choices),
            device_names={
                choice.label: choice.device_name
                for choice in (*choices, *diarizations)
                if choice.device_name is not None
            },
            diarization=config.diarize.model if diarizations else None,
            notes=_notes((*choices, *diarizations)) + _missing(config, store),
        ),
    )


def _notes(choices: Sequence[Choice]) -> tuple[Notice, ...]:
    return tuple(note for choice in choices for note in choice.notes)


def _missing(config: Config, store: Store) -> tuple[Notice, ...]:
    """Models that requests would need and that are not there; the service can start without them."""
    wanted = config.transcribe
    names = {"transcribe.models": () if wanted.models == "installed" else wanted.models}
    if wanted.translate_model != "none":
        names["transcribe.translate_model"] = (wanted.translate_model,)
    return tuple(
        Notice(
            "model_missing", f"{option} names {name}, which is not installed; run: {store.pull_command(name)}"
        )
        for option, models in names.items()
        for name in models
        if store.path(name) is None
    )


def _diarizes_elsewhere(config: Config) -> bool:
    """Whether diarization was given a device of its own that is no CPU; "auto" follows the transcription."""
    return config.diarize.enabled and config.diarize.device not in ("auto", "cpu")


def choose_model(
    config: Config, store: Store, facts: Facts, *, reserved_bytes: int
) -> tuple[str, tuple[Choice, ...]]:
    """The Whisper model's name and its places: "auto" is what suits the device that it would run on."""
    wanted = config.transcribe

    def places(model: str) -> tuple[Choice, ...]:
        return choose(
            wanted.device,
            wanted.compute_type,
            facts,
            weights_bytes=_weights_bytes(store, model),
            reserved_bytes=reserved_bytes,
        )

    if wanted.model != "auto":
        model = store.resolve_alias(wanted.model)
        return model, places(model)
    choices = places(default_model("cuda"))
    return default_model(choices[0].device), choices


def _weights_bytes(store: Store, model: str) -> int:
    """Size of the weights in float16: the catalogue's, or the file's where the model is the user's own."""
    if known := catalogue.find(model):
        return known.weights_bytes
    path = store.path(model)
    weights = path / "model.bin" if path else None
    return weights.stat().st_size if weights and weights.exists() else 0


class _Planner:
    """Makes the plan of each worker."""

    def __init__(self, config: Config, environ: Mapping[str, str], store: Store, cores: int) -> None:
        self._config = config
        self._environ = environ
        self._store = store
        self._cores = cores

    def decode(self) -> WorkerPlan:
        slots = max(2, self._cores)
        setup = DecodeSetup(
            concurrency=slots,
            max_duration_s=float(self._config.limits.duration),
            # A file that stands still is given up before its worker would be, with the files beside it.
            stall_s=self._config.workers.stall_timeout / 2,
        )
        return WorkerPlan("decode", setup, self._environment("cpu", 1), slots)

    def transcribe(self, model: str, choice: Choice) -> WorkerPlan:
        wanted = self._config.transcribe
        threads = 1 if wanted.threads == "auto" else wanted.threads
        concurrency = RECORDINGS_AT_ONCE if wanted.concurrency == "auto" else wanted.concurrency
        weights = _weights_bytes(self._store, model)
        if choice.device == "cpu":
            batches, batch_size = self._cores, _WINDOWS_ON_A_CPU
        else:
            batches, batch_size = 1, windows_at_once(weights, choice.room_bytes)
        if wanted.batches != "auto":
            batches = wanted.batches
        if wanted.batch_size != "auto":
            batch_size = wanted.batch_size
        setup = TranscribeSetup(
            model=model,
            model_dir=str(self._installed(model)),
            device=choice.device,
            device_index=choice.device_index,
            compute_type=choice.compute_type,
            concurrency=concurrency,
            threads=threads,
            beam_size=wanted.beam_size,
            vad=wanted.vad,
            batches=batches,
            batch_size=batch_size,
        )
        environment = {**_KEEP, **self._environment(choice.device, threads)}
        need = memory_need(weights, choice.compute_type)
        cores = min(self._cores, batches * threads)
        work = cores * _SPEED_OF_A_CORE if choice.device == "cpu" else _SPEED_OF_A_CARD
        speed = min(_MOST_SPEED, work / (weights or _UNKNOWN_WEIGHTS))
        return WorkerPlan("transcribe", setup, environment, concurrency, need, speed)

    def diarize(self, choice: Choice) -> WorkerPlan:
        wanted = self._config.diarize
        automatic = min(self._cores, _MOST_LANES) if choice.device == "cpu" else 1
        threads = automatic if wanted.threads == "auto" else wanted.threads
        setup = DiarizeSetup(
            model=wanted.model,
            model_dir=str(
                self._installed(wanted.model, otherwise='or set enabled = false in the section "diarize"')
            ),
            device=choice.device,
            device_index=choice.device_index,
            threads=threads,
        )
        environment = {**_KEEP_FOR_A_WHILE, **self._environment(choice.device, threads)}
        speed = _DIARIZATION_SPEEDS[choice.device] * (threads if choice.device == "cpu" else 1)
        return WorkerPlan("diarize", setup, environment, 1, DIARIZATION_BYTES, speed)

    def translate(self, model: str) -> WorkerPlan:
        """On the CPU: a card's memory is for speech."""
        directory = self._installed(model)
        setup = TranslateSetup(
            model=model,
            model_dir=str(directory),
            device="cpu",
            device_index=0,
            compute_type="int8",
            threads=1,
        )
        weights = directory / "model.bin"
        need = memory_need(weights.stat().st_size if weights.exists() else 0, "int8")
        return WorkerPlan("translate", setup, self._environment("cpu", 1), 1, need)

    def _installed(self, model: str, otherwise: str = "") -> Path:
        path = self._store.path(model)
        problems = self._store.verify(model, checksums=False)
        if path is None:
            trouble = f"the model {model} is not installed"
        elif problems:
            trouble = f"the model {model} is damaged ({'; '.join(problems)})"
        else:
            return path
        command = self._store.pull_command(model)
        raise StartError(" ".join(filter(None, (f"{trouble}; run: {command}", otherwise))))

    def _environment(self, device: Literal["cpu", "cuda"], threads: int) -> Mapping[str, str]:
        cache = self._config.paths.state / CACHE
        return worker_environment(self._config.cuda, self._environ, device, cache=cache, threads=threads)
