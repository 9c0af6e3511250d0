"""What there is to say at the end, in tables."""

from typing import Final

from rich.console import Console
from rich.table import Table

from soak.ledger import PERCENTILES
from soak.soak import Report

_ROWS: Final = 12
_WIDTH: Final = 140


def show(report: Report) -> None:
    """Print requests, memory, kills and what is wrong."""
    console = Console(width=_WIDTH)
    console.print(_visits(report), "", _memory(report), "", _kills(report), "")
    for sentence in report.wrong:
        console.print(f"WRONG: {sentence}", markup=False, highlight=False)


def _visits(report: Report) -> Table:
    outcomes = report.ledger.outcomes()
    names = sorted({name for counts in outcomes.values() for name in counts})
    percentiles = [f"{percent} %" for percent in PERCENTILES]
    table = Table("errand", *names, *percentiles, title=f"{len(report.ledger.visits)} errands", box=None)
    for kind, counts in outcomes.items():
        latencies = [f"{seconds:.2f} s" for seconds in report.ledger.latencies(kind)]
        table.add_row(kind, *(str(counts[name] or "") for name in names), *latencies)
    totals = [str(sum(counts[name] for counts in outcomes.values())) for name in names]
    table.add_row("all", *totals)
    return table


def _memory(report: Report) -> Table:
    moments = report.watch.moments
    kinds = sorted({kind for moment in moments for kind in moment.memory_mb})
    first, last = report.watch.windows()
    title = (
        f"MB; first window {first.memory_mb:.0f}, last {last.memory_mb:.0f} "
        f"({100 * (last.memory_mb / first.memory_mb - 1):+.1f} %)"
    )
    table = Table("after", "all", *kinds, "descriptors", "processes", "in the spool", title=title, box=None)
    step = max(1, len(moments) // _ROWS)
    for moment in moments[::step]:
        table.add_row(
            f"{moment.at_s / 60:.1f} min",
            str(moment.memory_mb.total()),
            *(str(moment.memory_mb[kind]) for kind in kinds),
            str(moment.descriptors),
            str(moment.processes),
            str(moment.spooled),
        )
    return table


def _kills(report: Report) -> str:
    killings = report.killings
    killed = ", ".join(f"{count} x {kind}" for kind, count in sorted(killings.kinds().items())) or "none"
    missed = max((killing.missed_s for killing in killings.all), default=0.0)
    return (
        f"{len(killings.all)} workers killed in {report.seconds / 60:.1f} min: {killed}; "
        f"ready again after {missed:.1f} s at the most"
    )
