"""A figure beside its goal, and the table of all figures."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    """The value may be this high; None where the figure is for information."""
    how: str = ""
    """From how many measurements, and how far they spread."""
    at_least: bool = False
    """The goal is the least that the value may be."""

    @property
    def mark(self) -> str:
        """Whether the goal is reached."""
        if self.goal is None:
            return ""
        reached = self.value >= self.goal if self.at_least else self.value <= self.goal
        return "reached" if reached else "MISSED"


def percentile(values: Sequence[float], percent: int) -> float:
    """By linear interpolation between the measured values."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def spread(values: Sequence[float], scale: float = 1) -> str:
    """How many, and between what the middle half lies."""
    low, high = percentile(values, 25) * scale, percentile(values, 75) * scale
    return f"{len(values)} times; half lie in {low:.4g} to {high:.4g}"


def machine() -> str:
    """What the figures were measured on, and what else it was doing."""
    model = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith(("model name", "Model"))
    )
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return (
        f"{len(os.sched_getaffinity(0))} cores of {model}, {memory_gib:.0f} GiB, {system}, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def load() -> str:
    """The load averages: above 0 before a benchmark means that something else was running."""
    return " ".join(f"{average:.2f}" for average in os.getloadavg())


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print in a form that can be pasted into the README."""
    table = Table("figure", "goal", "measured", "", "how often", title=title, title_justify="left", box=None)
    for figure in figures:
        goal = (
            ""
            if figure.goal is None
            else f"{'>=' if figure.at_least else '<='} {figure.goal:g} {figure.unit}"
        )
        table.add_row(
            figure.what, goal, f"{figure.value:.4g} {figure.unit}".rstrip(), figure.mark, figure.how
        )
    Console(width=140).print(table, "")
