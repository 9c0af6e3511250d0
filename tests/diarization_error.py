"""How wrong a diarization is: the share of the reference's speech that is missed, made up or confused."""

import warnings
from collections.abc import Iterable
from pathlib import Path

from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm
from pyannote.metrics.diarization import DiarizationErrorRate

from whisperd.transcript.model import Turn


def references(rttm: Path) -> dict[str, Annotation]:
    """Who really spoke when, by the recording's name."""
    with warnings.catch_warnings():
        # pandas announces what it will do one day with the way in which pyannote reads the file.
        warnings.simplefilter("ignore", DeprecationWarning)
        found: dict[str, Annotation] = load_rttm(rttm)
    return found


class ErrorRate:
    """Adds up over recordings. No collar: each wrong millisecond counts."""

    def __init__(self) -> None:
        self._metric = DiarizationErrorRate(collar=0.0)

    def add(self, reference: Annotation, turns: Iterable[Turn], duration_s: float) -> float:
        """The error rate of one recording, 1.0 being as much wrong as there is speech."""
        heard = Annotation()
        for number, turn in enumerate(turns):
            heard[Segment(turn.start, turn.end), number] = turn.speaker
        return float(self._metric(reference, heard, uem=Timeline([Segment(0, duration_s)])))

    @property
    def total(self) -> float:
        """The error rate of all recordings so far."""
        return float(abs(self._metric))
