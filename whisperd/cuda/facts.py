"""What is known of the machine's GPUs before anything is loaded on one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why something can't be used, and what a person can do about it."""

    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.reason}. {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One GPU, by the number that CUDA gives it."""

    index: int
    name: str
    capability: tuple[int, int]
    """Compute capability."""
    total_bytes: int
    free_bytes: int
    compute_types: frozenset[str] = frozenset()
    """Those that CTranslate2 has for it."""

    def __str__(self) -> str:
        return f"{self.name} (cuda:{self.index})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The GPUs, their driver, and the engines' word on them."""

    devices: tuple[Device, ...] = ()
    driver: str | None = None
    """The driver's version."""
    cuda: tuple[int, int] | None = None
    """The newest CUDA that the driver runs."""
    torch_cuda: str | None = None
    """The CUDA that torch was built for; None when it was built for the CPU alone."""
    obstacle: Obstacle | None = None
    """Why no GPU can be used, if that is so."""
