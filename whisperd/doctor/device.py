"""Where the daemon would run what was configured, and whether memory suffices for it."""

import re
from collections.abc import Iterator
from typing import Final

from whisperd.cuda.choice import DIARIZATION_BYTES, Choice, choose_diarization, memory_need
from whisperd.cuda.probe import NO_CARD
from whisperd.doctor.finding import Finding
from whisperd.doctor.machine import Machine
from whisperd.errors import StartError
from whisperd.models import catalogue
from whisperd.plan import choose_model
from whisperd.transcript.model import Notice

_DIARIZATION_BYTES: Final = 1_200_000_000
"""What a diarization pipeline takes of the machine's own memory."""

_SMALLER: Final = "Choose a smaller model (transcribe.model), or int8 (transcribe.compute_type)"


def check_device(machine: Machine) -> Iterator[Finding]:
    """The device and the arithmetic of each engine."""
    config = machine.config
    reserved = DIARIZATION_BYTES if machine.diarizes_on_gpu and not machine.running else 0
    try:
        model, choices = choose_model(config, machine.store, machine.facts, reserved_bytes=reserved)
        speakers = choose_diarization(config.diarize.device, choices, machine.facts)
    except StartError as error:
        remedy = 'Mend what is said above, or set the option to "auto"'
        yield Finding("device", "failure", error.message, remedy)
        return
    for choice in choices:
        where = f"{choice.device_name} ({choice.label})" if choice.device_name else "the CPU"
        yield Finding("device", "ok", f"{model} would run on {where} in {choice.compute_type}")
    for choice in (*choices, *(speakers if config.diarize.enabled else ())):
        for note in choice.notes:
            yield from _told(machine, note)
    yield from _check_memory(machine, model, choices[0], speakers[0])


def _told(machine: Machine, note: Notice) -> Iterator[Finding]:
    if note.code == "cpu_only" and machine.facts.obstacle is NO_CARD:
        return  # nothing that could be mended
    if note.code == "memory_short":
        if not machine.running:  # else it holds the memory itself
            yield Finding("GPU memory", "warning", note.message, _SMALLER)
        return
    yield Finding("device", "warning", note.message, "Mend what is said above")


def _check_memory(machine: Machine, model: str, choice: Choice, speakers: Choice) -> Iterator[Finding]:
    """The machine's own memory, as far as engines on the CPU need it."""
    if machine.running:
        yield Finding("memory", "skipped", "whisperd is running, and holds what it needs")
        return
    known = catalogue.find(model)
    needed = 0
    if choice.device == "cpu" and known:
        needed += memory_need(known.weights_bytes, choice.compute_type)
    if machine.config.diarize.enabled and speakers.device == "cpu":
        needed += _DIARIZATION_BYTES
    available = _available(machine)
    if available is None or not needed:
        return
    detail = f"{available / 1e9:.1f} GB are available, and the engines need about {needed / 1e9:.1f} GB"
    short = available < needed
    yield Finding("memory", "warning" if short else "ok", detail, _SMALLER if short else None)


def _available(machine: Machine) -> int | None:
    try:
        table = (machine.root / "proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", table, re.MULTILINE)
    return int(found[1]) * 1024 if found else None
