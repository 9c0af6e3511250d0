"""What of the speech has come out as text."""

from whisperd.engine.coverage import missed


def test_speech_with_words_in_it_is_not_missed() -> None:
    assert missed([(0, 3), (3, 6)], [(0.5, 1.2), (1.2, 2.4), (3.4, 5.5)]) == []


def test_a_stretch_without_any_word_is_missed() -> None:
    assert missed([(0, 3), (3, 6), (6, 9)], [(0.4, 2.6), (6.4, 8.6)]) == [(3, 6)]


def test_a_breath_is_not_missed() -> None:
    assert missed([(0, 3), (3, 4.1)], [(0.4, 2.6)]) == []


def test_a_long_pause_between_words_of_one_stretch_is_missed() -> None:
    assert missed([(0, 10)], [(0.4, 2), (5, 9.6)]) == [(2, 5)]
    assert missed([(0, 10)], [(0.4, 2), (3.5, 9.6)]) == []


def test_the_ends_of_a_stretch_are_looked_at_without_what_detection_added() -> None:
    assert missed([(0, 10)], [(1.9, 8.1)]) == []
    assert missed([(0, 10)], [(2.5, 7)]) == [(0.4, 2.5), (7, 9.6)]
