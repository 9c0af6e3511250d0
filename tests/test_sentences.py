"""Where a line of text is cut for translation."""

# ruff: noqa: RUF001 - the marks of other scripts are what is tested

import pytest

from whisperd.engine.sentences import halves, plain, sentences


@pytest.mark.parametrize(
    "line",
    [
        "Hello world.|How are you?|Fine!|And you…|Well.",
        '"Who is it?"|"It is me."',
        "He said (quietly.)|Then he left.",
        "¿Qué hora es?|¡Las tres!|Bueno.",
        "It was in 1990.|He was young.",
        "What?!|No.",
        "今日は雨です。|傘がいります。",
        "「行きますか？」|はい。",
    ],
)
def test_a_line_is_cut_where_a_sentence_ends(line: str) -> None:
    expected = line.split("|")
    assert sentences(" ".join(expected)) == expected


@pytest.mark.parametrize(
    "line",
    [
        "Mr. Smith met Dr. Jones.",
        "J. R. R. Tolkien wrote it.",
        "Am 3. Oktober ist frei.",
        "Das ist z. B. Holz.",
        "It costs 3.50 euros at www.example.org today",
        "wait... what is it",
        "He asked why? and left",
        "no end at all",
    ],
)
def test_a_line_is_not_cut_inside_a_sentence(line: str) -> None:
    assert sentences(line) == [line]


def test_nothing_comes_of_an_empty_line_and_white_space_goes() -> None:
    assert sentences("") == sentences("  \t\r") == []
    assert sentences("  One.   Two. \r") == ["One.", "Two."]


def test_chinese_needs_no_space_to_be_cut() -> None:
    assert sentences("你好。再见！走吧") == ["你好。", "再见！", "走吧"]


@pytest.mark.parametrize(
    ("sentence", "first", "second"),
    [
        ("one two three, four five six seven", "one two three,", "four five six seven"),
        ("one, two three four five, six", "one, two three", "four five, six"),
        ("one two three four", "one two", "three four"),
        ("一二三，四五六七", "一二三，", "四五六七"),
        ("，一二三四五六七", "，一二三", "四五六七"),
        ("abcdefgh", "abcd", "efgh"),
        ("one two,", "one", "two,"),
        ("a bcdefghi", "a bcd", "efghi"),
        ("ab", "a", "b"),
    ],
)
def test_a_long_sentence_is_cut_near_its_middle(sentence: str, first: str, second: str) -> None:
    assert halves(sentence) == (first, second)


def test_typographic_marks_become_those_that_the_models_know() -> None:
    assert plain("“It’s” – «là»") == '"It\'s" - "là"'
