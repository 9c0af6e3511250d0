"""The table of languages against the one that the engine's library has."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from whisperd.transcript.languages import LANGUAGES


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
