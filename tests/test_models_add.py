"""`whisperd models add`: translation models that somebody has."""

from pathlib import Path

import marian
import pytest
from ctranslate2.converters import OpusMTConverter
from pulls import Listener

from whisperd.errors import ModelFilesError
from whisperd.models.add import add
from whisperd.models.store import Store

NAME = "opus-mt-en-it"
CONVERTED = {"config.json", "model.bin", "shared_vocabulary.json", "source.spm", "target.spm"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A model as OPUS-MT publishes it; for which languages is of no account here."""
    directory = tmp_path / "published"
    marian.publish(directory, "en", "fr")
    (directory / "LICENSE").write_text("Attribution 4.0 International\n\nIn full ...\n")
    return directory


def files(store: Store) -> set[str]:
    return {path.name for path in store.directory(NAME).iterdir()}


def test_what_opus_mt_publishes_is_converted(store: Store, published: Path) -> None:
    add(NAME, published, store, Listener())
    assert files(store) == CONVERTED | {"LICENSE", "manifest.json"}
    assert store.verify(NAME) == []
    assert store.pairs() == {("en", "it"): NAME}
    (installed,) = store.installed()
    assert installed.manifest
    assert (installed.manifest.kind, installed.manifest.licence, installed.manifest.source) == (
        "translation",
        "Attribution 4.0 International",
        str(published),
    )


def test_a_model_for_ctranslate2_is_taken_as_it_is(store: Store, published: Path, tmp_path: Path) -> None:
    converted = tmp_path / "converted"
    OpusMTConverter(str(published)).convert(str(converted))
    for side in ("source.spm", "target.spm"):
        (published / side).rename(converted / side)
    (converted / "README.md").touch()
    add(NAME, converted, store, Listener())
    assert files(store) == CONVERTED | {"manifest.json"}
    assert (store.directory(NAME) / "model.bin").read_bytes() == (converted / "model.bin").read_bytes()
    assert store.verify(NAME) == []


def test_a_model_that_was_there_is_replaced(store: Store, published: Path) -> None:
    old = store.directory(NAME)
    old.mkdir(parents=True)
    (old / "old").touch()
    add(NAME, published, store, Listener())
    assert files(store) == CONVERTED | {"LICENSE", "manifest.json"}
    assert [path.name for path in (store.root / ".partial").iterdir()] == [f"{NAME}.lock"]


@pytest.mark.parametrize("name", ["italian", "opus-mt-en", "../opus-mt-en-it"])
def test_a_name_that_says_no_pair_of_languages_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFilesError, match="does not say for which languages"):
        add(name, tmp_path, store, Listener())


def test_a_directory_that_is_not_there_is_said_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match=r"can't read .*nowhere: No such file"):
        add(NAME, tmp_path / "nowhere", store, Listener())


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [("source.spm", r"lacks source\.spm"), ("decoder.yml", r"lacks model\.bin.*lacks decoder\.yml")],
)
def test_a_directory_that_holds_no_model_is_refused(
    store: Store, published: Path, missing: str, complaint: str
) -> None:
    (published / missing).unlink()
    with pytest.raises(ModelFilesError, match=complaint):
        add(NAME, published, store, Listener())
    assert store.installed() == []


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_weights_that_cannot_be_converted_leave_what_was_there(
    store: Store, published: Path, content: bytes
) -> None:
    add(NAME, published, store, Listener())
    (published / "opus.npz").write_bytes(content)
    with pytest.raises(ModelFilesError, match="can't be converted"):
        add(NAME, published, store, Listener())
    assert store.verify(NAME) == []
