"""Words get the speakers of the turns that they fall into, and segments one speaker each."""

import itertools

import pytest

from whisperd.transcript.align import THIN_S, align, in_order
from whisperd.transcript.model import Diarization, Segment, Turn, Word


def word(start: float, end: float, text: str = " word") -> Word:
    return Word(text, start, end, 0.9)


def segment(*words: Word, **fields: object) -> Segment:
    """A segment of its words' time and text."""
    made: dict[str, object] = {
        "id": 7,
        "start": words[0].start,
        "end": words[-1].end,
        "text": "".join(word.text for word in words),
        "words": list(words),
    }
    return Segment(**(made | fields))  # type: ignore[arg-type]


def diarization(*turns: tuple[float, float, str]) -> Diarization:
    """Exclusive turns; the full ones play no part in labelling."""
    return Diarization([], [Turn(*turn) for turn in turns])


def speakers(segments: list[Segment]) -> list[str | None]:
    return [word.speaker for segment in segments for word in segment.words]


# ---- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "speaker"),
    [
        (0.1, 0.9, "A"),
        (0.7, 1.2, "A"),  # 0.3 s of A, 0.2 s of B
        (0.9, 1.4, "B"),  # 0.1 s of A, 0.4 s of B
        (0.75, 1.25, "A"),  # as much of both: the earlier
        (1.0, 1.0, "A"),  # no time at all, between the two: the earlier
        (1.5, 1.5, "B"),  # no time at all, inside a turn
        (2.0, 2.4, "B"),  # after B and well before C
        (2.6, 2.9, "C"),  # nearer to C
        (2.25, 2.75, "B"),  # as far from both: the earlier
        (9.0, 9.5, "C"),  # after all turns
    ],
)
def test_a_word_goes_to_who_said_most_of_it_or_is_nearest(start: float, end: float, speaker: str) -> None:
    turns = diarization((0.0, 1.0, "A"), (1.0, 2.0, "B"), (3.0, 4.0, "C"))
    assert speakers(align([segment(word(start, end))], turns)) == [speaker]


@pytest.mark.parametrize("gap_s", [0.001, 1.0, 600.0])
def test_a_gap_is_as_wide_as_it_likes(gap_s: float) -> None:
    """Every word has a speaker; where nobody talks, it is who talked or will talk next to it."""
    after = 1.0 + gap_s
    turns = diarization((0.0, 1.0, "A"), (after, after + 1, "B"))
    said = [segment(word(1.0 + gap_s * share, 1.0 + gap_s * share)) for share in (0.25, 0.5, 0.75)]
    assert speakers(align(said, turns)) == ["A", "A", "B"]


# ---- sentences -----------------------------------------------------------------------------------


HANDOVER = diarization((0.0, 1.0, "A"), (1.0, 4.0, "B"))


def test_a_sentence_has_one_speaker_where_little_speaks_for_a_second() -> None:
    """The turn of A reaches 0.2 s into what B says."""
    said = segment(word(0.8, 1.0, " And"), word(1.0, 1.5, " I'm"), word(1.5, 2.2, " Sheila."))
    (piece,) = align([said], HANDOVER)
    assert (piece.speaker, piece.text, speakers([piece])) == ("B", " And I'm Sheila.", ["B", "B", "B"])


def test_a_sentence_is_split_where_both_say_enough_of_it() -> None:
    said = segment(word(0.5, 0.8, " Neither"), word(0.8, 1.0, " did"), word(1.0, 1.4, " I."))
    pieces = align([said], HANDOVER)
    assert [(piece.speaker, piece.text) for piece in pieces] == [("A", " Neither did"), ("B", " I.")]


@pytest.mark.parametrize(("covered_s", "expected"), [(THIN_S + 0.01, "A"), (THIN_S - 0.01, "B")])
def test_what_counts_are_the_seconds_of_turns_that_cover_the_words(covered_s: float, expected: str) -> None:
    """However long the words are, and however many."""
    said = segment(*(word(0.5 * number, 0.5 * number + 0.5) for number in range(8)))
    turns = diarization((0.0, covered_s, "A"), (2.0, 4.0, "B"))
    assert speakers(align([said], turns))[0] == expected


def test_thin_evidence_adds_up_over_words_in_a_row_and_not_over_others() -> None:
    quick = [word(0.2 * number, 0.2 * number + 0.2) for number in range(10)]
    together = diarization((0.0, 0.4, "A"), (0.4, 2.0, "B"))
    apart = diarization((0.0, 0.2, "A"), (0.2, 1.0, "B"), (1.0, 1.2, "A"), (1.2, 2.0, "B"))
    assert speakers(align([segment(*quick)], together)) == ["A"] * 2 + ["B"] * 8
    assert speakers(align([segment(*quick)], apart)) == ["B"] * 10


def test_a_short_sentence_keeps_its_own_speaker() -> None:
    """A "yes" between two sentences is short, and nobody else says any of it."""
    said = segment(word(0.0, 1.0, " Right?"), word(1.0, 1.1, " Yes."), word(1.1, 2.0, " Good."))
    turns = diarization((0.0, 1.0, "A"), (1.0, 1.1, "B"), (1.1, 2.0, "A"))
    assert speakers(align([said], turns)) == ["A", "B", "A"]


@pytest.mark.parametrize("end", [".", "?", "!", "…", '."', "?)", "。", "！」"])  # noqa: RUF001 - other scripts
def test_a_sentence_ends_at_its_mark(end: str) -> None:
    said = segment(word(0.9, 1.0, f" Yes{end}"), word(1.0, 2.0, " Then we"), word(2.0, 3.0, " begin."))
    assert speakers(align([said], HANDOVER)) == ["A", "B", "B"]


def test_a_sentence_ends_with_its_segment() -> None:
    said = [segment(word(0.9, 1.0, " and")), segment(word(1.0, 2.0, " then"))]
    assert speakers(align(said, HANDOVER)) == ["A", "B"]


def test_of_two_who_say_as_little_of_a_sentence_it_is_the_earlier_ones() -> None:
    said = segment(word(0.8, 1.0, " Oh"), word(1.0, 1.2, " no."))
    assert speakers(align([said], HANDOVER)) == ["A", "A"]


def test_a_sentence_that_no_turn_covers_is_the_earlier_speakers() -> None:
    said = segment(word(1.1, 1.2, " Oh"), word(1.8, 1.9, " no."))
    assert speakers(align([said], diarization((0.0, 1.0, "A"), (2.0, 3.0, "B")))) == ["A", "A"]


# ---- other labels --------------------------------------------------------------------------------


def test_a_word_before_the_first_turn_goes_to_its_speaker() -> None:
    assert speakers(align([segment(word(0.0, 0.2))], diarization((5.0, 6.0, "A")))) == ["A"]


def test_all_turns_of_one_speaker_count_together() -> None:
    turns = diarization((0.0, 0.3, "A"), (0.3, 0.7, "B"), (0.7, 1.0, "A"))
    assert speakers(align([segment(word(0.0, 1.0))], turns)) == ["A"]


def test_the_order_of_the_turns_does_not_matter() -> None:
    turns = [(0.0, 1.0, "A"), (1.0, 2.0, "B"), (2.5, 3.0, "A")]
    said = [segment(*(word(start / 10, start / 10 + 0.1) for start in range(30)))]
    expected = align(said, diarization(*turns))
    for order in itertools.permutations(turns):
        assert align(said, diarization(*order)) == expected


def test_a_segment_without_words_is_labelled_whole() -> None:
    wordless = Segment(id=3, start=1.0, end=2.0, text=" Yes.")
    (labelled,) = align([wordless], diarization((0.0, 1.2, "A"), (1.2, 3.0, "B")))
    assert (labelled.speaker, labelled.text, labelled.words) == ("B", " Yes.", [])


def test_without_turns_nobody_is_named() -> None:
    said = [segment(word(0.0, 0.5))]
    assert align(said, diarization()) == said


def test_the_full_turns_name_nobody() -> None:
    said = [segment(word(0.0, 0.5))]
    assert align(said, Diarization([Turn(0.0, 1.0, "A")], [])) == said


# ---- segments ------------------------------------------------------------------------------------


def test_a_segment_is_split_where_the_speaker_changes() -> None:
    said = segment(
        word(0.0, 0.4, " How"),
        word(0.4, 0.9, " much?"),
        word(1.1, 1.5, " Ten."),
        word(2.1, 2.5, " Thanks."),
        tokens=[1, 2, 3],
        temperature=0.2,
        seek=300,
        avg_logprob=-0.5,
    )
    turns = diarization((0.0, 1.0, "A"), (1.0, 2.0, "B"), (2.0, 3.0, "A"))
    pieces = align([said], turns)
    assert [(piece.id, piece.speaker, piece.text) for piece in pieces] == [
        (0, "A", " How much?"),
        (1, "B", " Ten."),
        (2, "A", " Thanks."),
    ]
    assert [(piece.start, piece.end) for piece in pieces] == [(0.0, 0.9), (1.1, 1.5), (2.1, 2.5)]
    assert [len(piece.words) for piece in pieces] == [2, 1, 1]
    assert {(piece.temperature, piece.seek, piece.avg_logprob) for piece in pieces} == {(0.2, 300, -0.5)}


def test_the_tokens_of_all_pieces_are_the_segments_own() -> None:
    said = segment(word(0.0, 0.5), word(1.0, 1.5), tokens=[1, 2, 3])
    pieces = align([said], diarization((0.0, 0.7, "A"), (0.7, 2.0, "B")))
    assert [token for piece in pieces for token in piece.tokens] == [1, 2, 3]


def test_a_segment_of_one_speaker_keeps_its_times_and_text() -> None:
    said = segment(word(1.0, 1.5), start=0.8, end=2.0, text=" Word.")
    (piece,) = align([said], diarization((0.0, 3.0, "A")))
    assert (piece.start, piece.end, piece.text, piece.speaker) == (0.8, 2.0, " Word.", "A")


def test_segments_are_numbered_anew() -> None:
    said = [segment(word(0.0, 0.5), word(1.0, 1.5)), segment(word(2.0, 2.5))]
    pieces = align(said, diarization((0.0, 0.7, "A"), (0.7, 3.0, "B")))
    assert [piece.id for piece in pieces] == [0, 1, 2]


# ---- order ---------------------------------------------------------------------------------------


def test_times_are_put_in_order() -> None:
    said = [
        segment(word(1.0, 0.5), word(0.8, 1.2), start=1.0, end=0.2),
        segment(word(0.9, 1.1), start=0.4, end=0.6),
    ]
    ordered = list(in_order(said))
    words = [word for segment in ordered for word in segment.words]
    assert [(word.start, word.end) for word in words] == [(1.0, 1.0), (1.0, 1.2), (1.0, 1.1)]
    assert [(segment.start, segment.end) for segment in ordered] == [(1.0, 1.2), (1.0, 1.1)]


def test_times_in_order_stay_as_they_are() -> None:
    said = [segment(word(0.0, 0.5), word(0.4, 0.9)), segment(word(1.0, 1.5))]
    assert list(in_order(said)) == said


def test_a_segment_without_words_between_others_is_labelled_by_its_own_time() -> None:
    said = [
        segment(word(0.0, 0.5), word(4.0, 4.2)),
        Segment(id=1, start=3.0, end=5.5, text=" Hm."),
        segment(word(5.0, 6.0)),
    ]
    pieces = align(said, diarization((0.0, 4.5, "A"), (4.5, 7.0, "B")))
    assert [piece.speaker for piece in pieces] == ["A", "B", "B"]
    starts = [piece.start for piece in pieces]
    assert starts == sorted(starts)


def test_every_word_gets_a_speaker_however_long_the_recording() -> None:
    """Ten hours: quadratic work would not end in this test's time."""
    count, turn_count = 100_000, 10_000
    words = [word(0.36 * number, 0.36 * number + 0.3, " word.") for number in range(count)]
    said = [segment(*words[first : first + 20]) for first in range(0, count, 20)]
    length = 0.36 * count / turn_count
    turns = [(number * length, (number + 1) * length, "AB"[number % 2]) for number in range(turn_count)]
    labelled = speakers(align(said, diarization(*turns)))
    middles = [0.36 * number + 0.15 for number in range(count)]
    assert labelled == ["AB"[int(middle / length) % 2] for middle in middles]
