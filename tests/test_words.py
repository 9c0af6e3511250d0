"""What is made of an alignment."""

from typing import Any

from whisperd.engine.passages import Passage
from whisperd.engine.words import words

END_OF_TEXT = 100


def aligned(*found: tuple[str, float, float]) -> list[dict[str, Any]]:
    """Words of one token each, as faster-whisper aligns them."""
    return [
        {"word": text, "start": start, "end": end, "tokens": [1], "probability": 0.5}
        for text, start, end in found
    ]


def passage(start: float, end: float, tokens: int) -> Passage:
    return Passage(start, end, (200, *[1] * tokens, 201))


def test_each_passage_gets_its_own_words_with_their_punctuation() -> None:
    alignment = aligned((" One", 0, 0.4), (".", 0.4, 1), (" Two", 1, 1.3), (" three", 1.3, 1.7))
    first, second = words(alignment, [passage(0, 1, 2), passage(1, 2, 2)], END_OF_TEXT)
    assert [(word.text, word.start, word.end) for word in first] == [(" One.", 0, 0.4)]
    assert [word.text for word in second] == [" Two", " three"]


def test_a_pause_between_sentences_belongs_to_no_word() -> None:
    alignment = aligned((" a", 0, 0.3), (" b.", 0.3, 2.3), (" C", 2.3, 4.9), (" d", 4.9, 5.2))
    (found,) = words(alignment, [passage(0, 5.2, 4)], END_OF_TEXT)
    spans = [(word.start, round(word.end, 2)) for word in found]
    assert spans[1][1] < 3
    assert found[2].end == 4.9
    assert found[2].start > 2.3


def test_a_word_does_not_reach_far_out_of_its_passage() -> None:
    alignment = aligned((" a", 0, 1.4), (" b", 1.4, 2.2), (" c", 2.2, 3.6))
    (found,) = words(alignment, [passage(1.2, 2.6, 3)], END_OF_TEXT)
    assert found[0].start > 0.5
    assert found[-1].end < 3.2
    assert all(word.start <= word.end for word in found)


def test_no_words_are_made_up() -> None:
    assert list(words([], [passage(0, 1, 1)], END_OF_TEXT)) == [[]]
