"""The names of translation models."""

import pytest

from whisperd.transcript.pairs import describe, model_name, pair_of


def test_a_pair_and_its_models_name_say_the_same() -> None:
    assert model_name(("en", "fr")) == "opus-mt-en-fr"
    assert pair_of("opus-mt-en-fr") == ("en", "fr")
    assert pair_of("opus-mt-haw-en") == ("haw", "en")


@pytest.mark.parametrize(
    "name",
    [
        "base",
        "opus-mt-en",
        "opus-mt-en-ROMANCE",
        "opus-mt-tc-big-en-fr",
        "my-opus-mt-en-fr",
        "opus-mt-en-fr.old",
    ],
)
def test_other_names_are_for_no_pair(name: str) -> None:
    assert pair_of(name) is None


def test_a_pair_is_described_by_the_names_of_its_languages() -> None:
    assert describe(("en", "fr")) == "English to French"
    assert describe(("ht", "xx")) == "Haitian Creole to Xx"
