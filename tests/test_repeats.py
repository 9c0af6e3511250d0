"""Words a second time."""

from whisperd.engine.repeats import contains, leaked


def test_a_hint_that_was_printed_is_noticed() -> None:
    hint = "Minutes of the meeting of the board of governors."
    assert leaked(hint, "Well. The meeting of the board of governors is open.")
    assert not leaked(hint, "The meeting is open.")
    assert not leaked("Two words", "Two words are said by chance.")


def test_a_part_is_contained_whatever_its_case_and_punctuation() -> None:
    assert contains("Four queen, of clubs. Five.", "queen of Clubs")
    assert not contains("Four queen, of clubs. Five.", "of five")
