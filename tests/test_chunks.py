"""How a recording becomes chunks."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from faster_whisper.vad import VadOptions

from whisperd.engine.chunks import Chunk, Piece, chunks
from whisperd.protocol import SAMPLE_RATE_HZ as S


@pytest.fixture
def noise() -> Any:
    """Five minutes, loud all over, but for 0.3 s of quiet every 13 s."""
    made = np.random.default_rng(0).normal(0, 0.3, 300 * S).astype(np.float32)
    for second in range(13, 300, 13):
        made[second * S : second * S + 3 * S // 10] *= 0.001
    return made


def found(monkeypatch: pytest.MonkeyPatch, *spans: tuple[float, float]) -> list[int]:
    """Make detection find these (seconds of the recording); the lengths of the blocks it was asked about."""
    blocks: list[int] = []

    def searched(block: Sequence[float], _: VadOptions) -> list[dict[str, int]]:
        offset = sum(blocks)
        blocks.append(len(block))
        inside = [
            (max(round(start * S) - offset, 0), min(round(end * S) - offset, len(block)))
            for start, end in spans
        ]
        return [{"start": start, "end": end} for start, end in inside if start < end]

    monkeypatch.setattr("whisperd.engine.chunks.get_speech_timestamps", searched)
    return blocks


def spans(made: Chunk) -> list[tuple[float, float]]:
    return [(piece.start / S, piece.end / S) for piece in made.pieces]


def test_stretches_of_speech_share_a_chunk_as_long_as_they_fit(
    noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, (1, 11), (20, 30), (50, 60), (70, 71))
    assert [spans(each) for each in chunks(noise, VadOptions())] == [
        [(1, 11), (20, 30), (50, 60)],
        [(70, 71)],
    ]


def test_long_speech_is_cut_where_it_is_quiet_and_nothing_is_lost(
    noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, (0, 300))
    pieces = [span for each in chunks(noise, VadOptions()) for span in spans(each)]
    assert pieces[0][0] == 0
    assert pieces[-1][1] == 300
    for (_, end), (start, _) in itertools.pairwise(pieces):
        assert start == end
        assert 0.05 <= end % 13 <= 0.25, "in the quiet"
    assert all(end - start <= 30 for start, end in pieces)


def test_speech_goes_on_over_the_end_of_a_block(noise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = found(monkeypatch, (110, 125))
    assert [spans(each) for each in chunks(noise, VadOptions())] == [[(110, 125)]]
    assert len(blocks) == 3


def test_blocks_are_read_as_they_are_needed(noise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = found(monkeypatch, (1, 25), (30, 58), (130, 140))
    made = chunks(noise, VadOptions())
    assert spans(next(made)) == [(1, 25)]
    assert len(blocks) == 2, "of three"


def test_without_detection_everything_is_kept(noise: Any) -> None:
    made = list(chunks(noise[: 70 * S], None))
    assert sum(each.duration for each in made) == 70
    assert np.concatenate([each.audio(noise) for each in made]).tobytes() == noise[: 70 * S].tobytes()


def test_what_is_too_short_to_be_speech_is_left_out(noise: Any) -> None:
    assert [list(chunks(noise[:samples], None)) for samples in (0, 1, 50)] == [[], [], []]
    assert list(chunks(noise[: S // 5], None))


def test_a_part_of_a_chunk_has_what_lies_between_two_times() -> None:
    whole = Chunk((Piece(0, 2 * S), Piece(5 * S, 8 * S)))
    assert spans(whole.part(1, 5)) == [(1, 2), (5, 8)]
    assert spans(whole.part(2, 5)) == [(5, 8)]
    assert spans(whole.part(4.5, 5)) == [(7.5, 8)]
    assert spans(whole.part(0.5, 2.5)) == [(0.5, 2), (5, 5.5)]
    assert whole.spans == [(0, 2), (2, 5)]
