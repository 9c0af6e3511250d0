"""The table of languages against the one that the engine's library has."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from whisperd.transcript.languages import LANGUAGES, OTHER_CODES, code_of


def test_the_codes_are_those_that_faster_whisper_takes() -> None:
    spec = find_spec("faster_whisper")
    if spec is None or spec.origin is None:
        pytest.skip("faster-whisper is not installed")
    tree = ast.parse(Path(spec.origin).with_name("tokenizer.py").read_text(encoding="utf-8"))
    codes = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_LANGUAGE_CODES"
    )
    assert set(codes) == set(LANGUAGES)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("Cantonese", "yue"),
        ("cmn", "zh"),
        ("nb", "no"),
        ("jv", "jw"),
        ("pes", "fa"),
    ],
)
def test_a_language_goes_by_name_and_by_the_codes_of_other_systems(said: str, code: str) -> None:
    assert code_of(said) == code


@pytest.mark.parametrize("said", ["", "klingon", "english (us)", "ga"])
def test_what_whisper_does_not_know_has_no_code(said: str) -> None:
    assert code_of(said) is None


def test_other_systems_codes_stand_for_languages_that_are_there() -> None:
    assert set(OTHER_CODES.values()) <= set(LANGUAGES)
    assert not set(OTHER_CODES) & set(LANGUAGES)
