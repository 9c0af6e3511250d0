"""What is made of a chunk's passages."""

from whisperd.engine.attempts import Decoded
from whisperd.engine.chunks import Chunk, Piece
from whisperd.engine.passages import Passage
from whisperd.engine.segments import Said, merged, segments
from whisperd.engine.words import AlignedWord
from whisperd.protocol import SAMPLE_RATE_HZ
from whisperd.transcript.align import in_order
from whisperd.transcript.model import Segment

DECODED = Decoded(
    tokens=(1,),
    text="",
    temperature=0.2,
    avg_logprob=-0.123456789,
    compression_ratio=1.0,
    no_speech_prob=0.1,
    ended=True,
    last_timestamp=None,
)


def chunk(*spans: tuple[float, float]) -> Chunk:
    """Pieces of a recording, in seconds."""
    return Chunk(
        tuple(Piece(round(start * SAMPLE_RATE_HZ), round(end * SAMPLE_RATE_HZ)) for start, end in spans)
    )


def said(text: str, start: float, end: float, *words: tuple[float, float]) -> Said:
    """A passage, in seconds of its chunk."""
    return Said(
        Passage(start, end, (1, 2)), text, [AlignedWord(" w", start, end, 0.9, 1) for start, end in words]
    )


def told(*passages: Said, of: Chunk) -> list[Segment]:
    return list(in_order(segments(DECODED, passages, of)))


def test_times_never_go_back_and_stay_inside_the_recording() -> None:
    found = told(
        said(" before the start", -0.4, 1.0, (-0.4, 0.2), (0.2, 0.2), (0.9, 0.5)),
        said(" back behind the last", 0.7, 2.0, (0.7, 1.2), (1.0, 2.0)),
        said(" no words", 0.5, 0.6),
        said(" beyond the end", 8.0, 11.0, (8.0, 9.0), (9.9, 10.5), (10.6, 11.0)),
        of=chunk((0, 10)),
    )
    words = [word for segment in found for word in segment.words]
    for spans in (words, found):
        assert all(0 <= span.start <= span.end <= 10 for span in spans)
        starts = [span.start for span in spans]
        assert starts == sorted(starts)
    assert [(word.start, word.end) for word in words[:3]] == [(0, 0.2), (0.2, 0.2), (0.9, 0.9)]
    assert [(word.start, word.end) for word in words[-2:]] == [(9.9, 10), (10, 10)]
    assert all(segment.end >= word.end for segment in found for word in segment.words)


def test_a_segment_of_white_space_is_left_out() -> None:
    texts = enumerate([" One.", "  ", "", "\n", " Two."])
    found = told(*(said(text, number, number + 1) for number, text in texts), of=chunk((0, 10)))
    assert [segment.text for segment in found] == [" One.", " Two."]


def test_what_takes_no_time_was_not_said() -> None:
    found = told(
        said(" Thank you.", 0, 1, (0.4, 0.4), (0.4, 0.4)),
        said(" Yes.", 1, 2, (1, 1.4)),
        of=chunk((0, 10)),
    )
    assert [segment.text for segment in found] == [" Yes."]


def test_a_word_lies_in_one_piece_of_the_recording_and_a_passage_may_span_several() -> None:
    (found,) = told(said(" a b c", 0.5, 3.0, (0.5, 0.9), (0.9, 1.3), (1.3, 3.0)), of=chunk((5, 6), (60, 62)))
    assert [(word.start, word.end) for word in found.words] == [(5.5, 5.9), (60, 60.3), (60.3, 62)]
    (found,) = told(said(" no words", 0.5, 1.0), said("", 1, 2), of=chunk((5, 6), (60, 62)))
    assert (found.start, found.end) == (5.5, 6)


def test_the_decoders_evidence_is_kept() -> None:
    (found,) = told(said(" One.", 0, 1), of=chunk((12.34, 20)))
    assert found.seek == 1234
    assert found.tokens == [1, 2]
    assert found.temperature == 0.2
    assert found.avg_logprob == -0.12346


def test_what_was_left_out_comes_where_it_was_said() -> None:
    main = told(said(" a b c d", 0, 8, (0, 1), (1, 2), (6, 7), (7, 8)), said(" e", 8, 9), of=chunk((0, 10)))
    more = told(said(" missed", 3, 5, (3, 5)), of=chunk((0, 10)))
    found = merged(main, more)
    assert [(segment.start, segment.text) for segment in found] == [
        (0, " w w"),
        (3, " missed"),
        (6, " w w"),
        (8, " e"),
    ]
    assert [segment.tokens for segment in found] == [[1, 2], [1, 2], [], [1, 2]]
    assert merged(main, []) == main
