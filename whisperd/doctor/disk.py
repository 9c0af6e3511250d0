"""Room for models and uploads, and the right to write there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from whisperd.doctor.finding import Finding
from whisperd.doctor.machine import Machine
from whisperd.doctor.user import MAKE_FILES
from whisperd.protocol import SAMPLE_RATE_HZ

_LEAST_BYTES: Final = 100_000_000
_SAMPLE_BYTES: Final = 4


def check_disk(machine: Machine) -> Iterator[Finding]:
    """The state directory and the spool."""
    config = machine.config
    yield _check(machine, config.paths.state, "paths.state", 0, "")
    decoded = int(config.limits.duration * SAMPLE_RATE_HZ * _SAMPLE_BYTES)
    yield _check(
        machine,
        config.paths.spool,
        "paths.spool",
        config.limits.upload + decoded,
        "the largest upload with its longest recording (limits.upload, limits.duration)",
    )


def _check(machine: Machine, directory: Path, option: str, wanted: int, what: str) -> Finding:
    name = f"disk ({option})"
    try:
        existing = next(path for path in (directory, *directory.parents) if path.exists())
    except PermissionError:
        return Finding(name, "skipped", f"only root and the service's user may look into {directory.parent}")
    made_by_systemd = existing != directory and machine.service
    if not made_by_systemd and not machine.user.may(existing.stat(), MAKE_FILES):
        return Finding(
            name,
            "failure",
            f"{machine.user.name} may not write in {existing}",
            f"Give {directory} to {machine.user.name}, or set {option} to a directory of its own",
        )
    free = machine.free_bytes(existing)
    detail = f"{directory} has {free / 1e9:.1f} GB free"
    remedy = f"Make room there, or set {option} to a directory on another disk"
    if free < _LEAST_BYTES:
        return Finding(name, "failure", detail, remedy)
    if free < wanted:
        return Finding(name, "warning", f"{detail}, and {what} take {wanted / 1e9:.1f} GB", remedy)
    return Finding(name, "ok", detail)
