"""What is said against a text."""

import pytest

from whisperd.engine.doubts import doubts, loops
from whisperd.transcript.model import Doubt, Segment, Word


def segment(text: str = " Good evening.", probability: float = 0.9, **evidence: float) -> Segment:
    words = [Word(text, 1.0, 3.0, probability)]
    return Segment(id=0, start=1.0, end=3.0, text=text, words=words, **evidence)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("suspect", "found"),
    [
        (segment(), []),
        (segment(" I see. I see. I see. I see. I see."), ["repeated"]),
        (segment(avg_logprob=-1.2), ["improbable"]),
        (segment(probability=0.1), ["improbable"]),
        (segment(no_speech_prob=0.9, avg_logprob=-0.7), ["no_speech"]),
        (segment(no_speech_prob=0.9, avg_logprob=-0.1), []),
    ],
)
def test_the_decoders_own_evidence_tells(suspect: Segment, found: list[Doubt]) -> None:
    assert doubts(suspect, None) == found


def test_a_text_where_no_speech_is_heard_is_doubted() -> None:
    assert doubts(segment(), []) == ["no_voice"]
    assert doubts(segment(), [(0.0, 1.1)]) == ["no_voice"]
    assert doubts(segment(), [(2.0, 2.6)]) == []


@pytest.mark.parametrize(
    "text", ["no " * 8, "thank you. Thank you, thank you! thank you", "one two three four " * 4]
)
def test_the_same_few_words_over_and_over_are_a_loop(text: str) -> None:
    assert loops(f"And then {text} he said")


@pytest.mark.parametrize("text", ["", "no, no, no, no", "had had", "row, row, row your boat, gently down"])
def test_what_people_say_twice_is_no_loop(text: str) -> None:
    assert not loops(text)
