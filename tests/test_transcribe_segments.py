"""What is made of faster-whisper's segments."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from whisperd.engine import Cancelled
from whisperd.engine.transcribe import _segments, _until


def spoken(text: str, start: float, end: float, *words: tuple[float, float]) -> Any:
    """A segment as faster-whisper finds it."""
    return SimpleNamespace(
        text=text,
        start=start,
        end=end,
        words=[SimpleNamespace(word=" w", start=start, end=end, probability=0.9) for start, end in words],
        seek=0,
        tokens=[1],
        temperature=0.0,
        avg_logprob=-0.2,
        compression_ratio=1.0,
        no_speech_prob=0.1,
    )


def test_times_never_go_back_and_stay_inside_the_recording() -> None:
    found = [
        spoken(" before the start", -0.4, 1.0, (-0.4, 0.2), (0.2, 0.2), (0.9, 0.5)),
        spoken(" back behind the last", 0.7, 2.0, (0.7, 1.2), (1.0, 2.0)),
        spoken(" no words", 0.5, 0.4),
        spoken(" beyond the end", 8.0, 11.0, (8.0, 9.0), (9.9, 10.5), (10.6, 11.0)),
    ]
    segments = list(_segments(found, 10.0))
    words = [word for segment in segments for word in segment.words]
    for spans in (words, segments):
        assert all(0 <= span.start <= span.end <= 10 for span in spans)
        starts = [span.start for span in spans]
        assert starts == sorted(starts)
    assert [(word.start, word.end) for word in words[:3]] == [(0, 0.2), (0.2, 0.2), (0.9, 0.9)]
    assert [(word.start, word.end) for word in words[-2:]] == [(9.9, 10), (10, 10)]
    assert all(segment.end >= word.end for segment in segments for word in segment.words)


def test_a_segment_of_white_space_is_left_out_and_the_numbers_have_no_gap() -> None:
    found = [
        spoken(text, number, number + 1) for number, text in enumerate([" One.", "  ", "", "\n", " Two."])
    ]
    assert [(segment.id, segment.text) for segment in _segments(found, 10)] == [(0, " One."), (1, " Two.")]


def test_nothing_is_looked_for_once_nobody_waits() -> None:
    looked_for = itertools.count()
    finding = _until(lambda: next(looked_for) == 2, itertools.count())
    assert [next(finding), next(finding)] == [0, 1]
    with pytest.raises(Cancelled):
        next(finding)
