"""How much memory is free: the machine's, within the service's own limit, or a card's."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from whisperd.cuda import nvml

_ROOT: Final = Path("/")
_ENOUGH: Final = 2**63
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


async def free_bytes(device: str, environ: Mapping[str, str] = os.environ) -> int:
    """Free memory of `cpu` or `cuda:N`. What can't be told is taken as enough: loading will tell."""
    return await asyncio.to_thread(_free_bytes, device, environ)


def _free_bytes(device: str, environ: Mapping[str, str]) -> int:
    if device == "cpu":
        return min(available(), below_limit())
    index = int(device.partition(":")[2])
    cards = {card.index: card for card in nvml.read(environ).devices}
    return cards[index].free_bytes if index in cards else _ENOUGH


def available(root: Path = _ROOT) -> int:
    """What the kernel could give without swapping."""
    for line in _lines(root / "proc/meminfo"):
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return _ENOUGH


def own_bytes(pid: int) -> int:
    """What a process alone holds, and no file behind it; 0 when it is gone."""
    for line in _lines(_ROOT / f"proc/{pid}/statm"):
        _, resident, shared, *_ = map(int, line.split())
        return (resident - shared) * _PAGE_BYTES
    return 0


def below_limit(root: Path = _ROOT) -> int:
    """What is left of the control group's limit, MemoryMax= in the unit; its cache could be given back."""
    group = next((line.partition("::")[2] for line in _lines(root / "proc/self/cgroup") if "::" in line), "")
    directory = root / "sys/fs/cgroup" / group.lstrip("/")
    limit, used = ("".join(_lines(directory / name)) for name in ("memory.max", "memory.current"))
    if not limit.isdecimal() or not used.isdecimal():
        return _ENOUGH
    cache = next(
        (int(line.split()[1]) for line in _lines(directory / "memory.stat") if line.startswith("file ")), 0
    )
    return int(limit) - int(used) + cache


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
