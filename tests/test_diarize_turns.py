"""What is made of pyannote's answer."""

from pyannote.core import Annotation, Segment

from whisperd.engine.diarize import _labels, _turns
from whisperd.transcript.model import Turn


def annotation(*turns: tuple[float, float, str]) -> Annotation:
    made = Annotation()
    for number, (start, end, label) in enumerate(turns):
        made[Segment(start, end), number] = label
    return made


def test_speakers_are_numbered_as_they_appear() -> None:
    labels = _labels()
    found = _turns(annotation((5, 6, "A"), (1, 2, "C"), (3, 4, "B"), (7, 8, "C")), 10, labels)
    assert [turn.speaker for turn in found] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02", "SPEAKER_00"]


def test_exclusive_turns_bear_the_same_names_as_the_others() -> None:
    labels = _labels()
    _turns(annotation((1, 9, "B"), (2, 3, "A")), 10, labels)
    assert _turns(annotation((2, 3, "A"), (3, 9, "B")), 10, labels) == [
        Turn(2, 3, "SPEAKER_01"),
        Turn(3, 9, "SPEAKER_00"),
    ]


def test_times_are_whole_milliseconds_within_the_recording() -> None:
    found = _turns(
        annotation((0.00049, 1.23456, "A"), (2, 2.0004, "A"), (3, 11, "A"), (10.2, 11, "A")),
        10.0009,
        _labels(),
    )
    assert [(turn.start, turn.end) for turn in found] == [(0, 1.235), (3, 10)]
