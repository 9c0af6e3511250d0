"""What the decoder's timestamps say."""

import pytest

from whisperd.engine.passages import passages

BEGIN = 1000


def at(seconds: float) -> int:
    return BEGIN + round(seconds / 0.02)


def split(
    *tokens: int, duration: float = 20, voice_end: float | None = 20
) -> tuple[list[tuple[float, float, list[int]]], float | None]:
    found, rest = passages(tokens, BEGIN, duration=duration, voice_end=voice_end)
    texts = [(each.start, each.end, [token for token in each.tokens if token < BEGIN]) for each in found]
    return texts, rest


def test_pairs_of_timestamps_set_passages_apart() -> None:
    told = split(at(0.4), 1, 2, at(4), at(5), 3, at(20))
    assert told == ([(0.4, 4, [1, 2]), (5, 20, [3])], None)


def test_a_passage_that_was_cut_off_is_decoded_once_more() -> None:
    assert split(at(0), 1, at(4), at(4), 2, 3) == ([(0, 4, [1])], 4)


def test_a_text_without_timestamps_lasts_as_long_as_its_chunk() -> None:
    assert split(1, 2) == ([(0, 20, [1, 2])], None)
    assert split(at(3), 1, 2) == ([(3, 20, [1, 2])], None)


@pytest.mark.parametrize(
    ("voice_end", "rest"), [(20.0, 4.0), (4.8, None), (None, None)], ids=["voice", "no more voice", "unknown"]
)
def test_a_voice_that_goes_on_after_the_text_is_decoded_once_more(
    voice_end: float | None, rest: float | None
) -> None:
    assert split(at(0), 1, at(4), voice_end=voice_end) == ([(0, 4, [1])], rest)


def test_what_the_decoder_announces_is_looked_for_even_without_detection() -> None:
    assert split(at(0), 1, at(4), at(4), voice_end=None) == ([(0, 4, [1])], 4)


def test_decoding_once_more_always_gets_on() -> None:
    assert split(at(0), 1, at(0.2), at(0.2), 2) == ([(0, 0.2, [1])], 0.2)
    told, rest = split(at(0), 1, at(19.8), at(19.8), 2)
    assert (told, rest) == ([(0, 19.8, [1]), (19.8, 20, [2])], None)


def test_times_stay_inside_the_chunk_and_in_order() -> None:
    told = split(at(0), 1, at(3), at(2), 2, at(25), duration=20)
    assert told == ([(0, 3, [1]), (3, 20, [2])], None)


def test_nothing_comes_of_nothing() -> None:
    assert split() == ([], None)
    assert split(at(0), at(20)) == ([], None)
