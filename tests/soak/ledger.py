"""The errands that were run, and how each of them ended."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Final

from benchmarks.report import percentile

PERCENTILES: Final = (50, 95, 99)


@dataclass
class Visit:
    """One errand of one guest."""

    kind: str
    began: float
    ended: float | None = None
    outcome: str = "not answered"

    @property
    def seconds(self) -> float:
        """How long it took; of one that has not ended, so far."""
        return (self.ended or time.monotonic()) - self.began


class Ledger:
    """All visits."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.complaints: list[str] = []

    def open(self, kind: str) -> Visit:
        """One that begins now."""
        visit = Visit(kind, time.monotonic())
        self.visits.append(visit)
        return visit

    def close(self, visit: Visit, outcome: str) -> None:
        """It ends now."""
        visit.ended, visit.outcome = time.monotonic(), outcome

    def complain(self, visit: Visit, complaint: str) -> None:
        """It ends now, and not as it should."""
        self.close(visit, "WRONG")
        self.complaints.append(f"{visit.kind}: {complaint}")

    def wrong(self) -> list[str]:
        """What should not have happened; nothing may be without an answer."""
        without = Counter(visit.kind for visit in self.visits if visit.ended is None)
        return self.complaints + [f"{kind}: {count} without an answer" for kind, count in without.items()]

    def outcomes(self) -> dict[str, Counter[str]]:
        """How often each kind of errand ended how."""
        found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for visit in self.visits:
            found[visit.kind][visit.outcome] += 1
        return dict(sorted(found.items()))

    def latencies(self, kind: str) -> list[float]:
        """Percentiles of the seconds that answers took; empty where there are too few."""
        seconds = [v.seconds for v in self.visits if v.kind == kind and v.outcome in ("answered", "declined")]
        return [percentile(seconds, percent) for percent in PERCENTILES] if len(seconds) > 1 else []
