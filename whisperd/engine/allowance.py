"""What the process of one recording may take: memory, computing time, disk; kept by the kernel."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MEMORY_BYTES: Final = 2**29
"""Beyond what the process begins with. The index of a long video is in memory as a whole."""
_FIRST_CPU_S: Final = 20
_BYTES_PER_CPU_S: Final = 50_000_000
"""A slow machine reads through a container at twice that."""
_AUDIO_PER_CPU_S: Final = 5.0
"""Seconds of audio in one of CPU. A slow machine decodes hundreds, and encodes tens."""
_MAX_FILES: Final = 256
_BYTES_PER_S: Final = 64_000
"""Of 16 kHz mono float32, which is more than any other file that is written."""
_SLACK_BYTES: Final = 2**24
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Allowance:
    """For the recordings of one job."""

    recordings: int
    size_bytes: int
    """Of all their files."""
    longest_s: float
    """What may be written, in seconds of audio."""
    stall_s: float
    """So long it may make no progress, by the clock."""

    def begin(self, address_space: int) -> None:
        """Hold the calling process to it, which begins with an address space of so many bytes."""
        _limit(resource.RLIMIT_AS, address_space + _MEMORY_BYTES)
        _limit(resource.RLIMIT_FSIZE, int(self.longest_s * _BYTES_PER_S) + _SLACK_BYTES)
        _limit(resource.RLIMIT_NOFILE, _MAX_FILES)
        _limit(resource.RLIMIT_CORE, 0)
        # Beyond the last of what it is given, for at this limit the kernel does not say what for it kills.
        _limit(resource.RLIMIT_CPU, self._cpu_s(self.longest_s) + 1)
        self.extend(0.0)

    def extend(self, position_s: float) -> None:
        """Give it the time for what comes after this second of the recording."""
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        wanted = self._cpu_s(position_s)
        resource.setrlimit(
            resource.RLIMIT_CPU, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most)
        )

    def _cpu_s(self, position_s: float) -> int:
        each = _FIRST_CPU_S + position_s / _AUDIO_PER_CPU_S
        return int(self.recordings * each + self.size_bytes / _BYTES_PER_CPU_S)


def address_space() -> int:
    """Bytes of the calling process's."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * _PAGE_BYTES


def _limit(kind: int, value: int) -> None:
    """Lower a limit, for good."""
    _, most = resource.getrlimit(kind)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(kind, (value, value))
