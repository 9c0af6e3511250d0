"""Parameters as clients write them: lists and objects in brackets."""

from whisperd.web.fields import Values, text

STRATEGY = text("strategy", "How.")
NAMES = text("names[]", "Who.", repeated=True)


def test_a_list_goes_with_and_without_brackets() -> None:
    values = Values({"names[]": ["a", "b"], "names": ["c"], "names[3]": ["d"]})
    assert values.every(NAMES) == ["a", "b", "c", "d"]
    assert values.names() == {"names"}


def test_an_object_is_known_by_its_keys() -> None:
    values = Values({"strategy[type]": ["vad"], "strategy[level]": ["0.1", "0.4"], "other": ["x"]})
    assert values.parts(STRATEGY) == {"type": "vad", "level": "0.4"}
    assert STRATEGY in values
    assert Values({"strategy": ["auto"]}).parts(STRATEGY) == {}
