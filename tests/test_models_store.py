import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from pulls import pin

from whisperd.errors import ModelFilesError
from whisperd.models.store import MANIFEST, Manifest, Store

CONTENT = {"model.bin": b"weights", "text/vocabulary.txt": b"words"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def install(store: Store, name: str = "base") -> Path:
    directory = store.root / name
    for path, content in CONTENT.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    manifest = Manifest(
        name=name,
        kind="whisper",
        source="a test",
        licence="MIT",
        pulled_at=datetime(2026, 1, 2, tzinfo=UTC),
        files=tuple(pin(path, content) for path, content in CONTENT.items()),
    )
    (directory / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return directory


def test_nothing_is_installed_in_an_empty_state_directory(store: Store) -> None:
    assert store.path("base") is None
    assert store.installed() == []
    assert store.verify("base") == ["not installed"]


def test_an_installed_model_is_found_by_name_and_alias(store: Store) -> None:
    directory = install(store, "large-v3-turbo")
    assert store.path("large-v3-turbo") == directory
    assert store.path("turbo") == directory
    (installed,) = store.installed()
    assert installed.name == "large-v3-turbo"
    assert installed.manifest is not None
    assert installed.manifest.source == "a test"
    assert installed.size_bytes == sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def test_an_absolute_path_stands_for_itself(store: Store, tmp_path: Path) -> None:
    own = tmp_path / "own"
    assert store.path(str(own)) is None
    own.mkdir()
    assert store.path(str(own)) == own
    assert store.verify(str(own)) == []


@pytest.mark.parametrize("name", ["", "..", ".partial", "../models/base", "a/b", "a\0b"])
def test_a_name_cannot_lead_out_of_the_models_directory(store: Store, name: str) -> None:
    install(store)
    with pytest.raises(ModelFilesError, match="can't be the name of a model"):
        store.path(name)


def test_a_whole_model_has_no_problems(store: Store) -> None:
    install(store)
    assert store.verify("base") == []


def test_a_missing_file_is_found(store: Store) -> None:
    (install(store) / "model.bin").unlink()
    assert store.verify("base") == ["model.bin is missing"]


def test_a_file_cut_short_is_found_without_reading_it(store: Store) -> None:
    (install(store) / "model.bin").write_bytes(b"wei")
    assert store.verify("base", checksums=False) == ["model.bin has 3 bytes instead of 7"]


def test_a_changed_byte_is_found_by_the_checksum_alone(store: Store) -> None:
    (install(store) / "text/vocabulary.txt").write_bytes(b"wordz")
    assert store.verify("base", checksums=False) == []
    assert store.verify("base") == ["text/vocabulary.txt has the wrong SHA-256"]


def test_a_file_that_cannot_be_read_is_a_problem_and_not_an_error(store: Store) -> None:
    file = install(store) / "model.bin"
    file.unlink()
    file.symlink_to(file)
    (problem,) = store.verify("base")
    assert problem.startswith("model.bin can't be read: ")


@pytest.mark.parametrize("content", [b"{", b"{}", b'{"name": 1}'])
def test_a_damaged_manifest_is_a_problem(store: Store, content: bytes) -> None:
    (install(store) / MANIFEST).write_bytes(content)
    (problem,) = store.verify("base")
    assert problem.startswith("manifest.json is damaged: ")


def test_a_model_of_the_catalogue_without_a_manifest_is_damaged(store: Store) -> None:
    (install(store) / MANIFEST).unlink()
    assert store.verify("base") == ["manifest.json is missing"]


def test_a_directory_put_there_by_hand_is_used_as_it_is(store: Store) -> None:
    own = install(store, "our-own")
    (own / MANIFEST).unlink()
    assert store.path("our-own") == own
    assert store.verify("our-own") == []
    (installed,) = store.installed()
    assert (installed.name, installed.manifest) == ("our-own", None)


def test_translation_models_are_found_by_their_pair_of_languages(store: Store) -> None:
    assert store.pairs() == {}
    for name in ("opus-mt-en-fr", "opus-mt-fr-en", "base", ".partial"):
        (store.root / name).mkdir(parents=True)
    (store.root / "opus-mt-en-de").touch()
    assert store.pairs() == {("en", "fr"): "opus-mt-en-fr", ("fr", "en"): "opus-mt-fr-en"}


def test_unfinished_pulls_are_not_models(store: Store) -> None:
    (store.root / ".partial" / "base").mkdir(parents=True)
    assert store.installed() == []


def test_a_models_directory_that_cannot_be_read_is_said_so(store: Store) -> None:
    store.root.write_text("not a directory")
    with pytest.raises(ModelFilesError, match=r"can't read .*models"):
        store.installed()


def test_the_command_for_a_missing_model_names_it_as_the_catalogue_does(store: Store) -> None:
    assert store.pull_command("turbo").endswith("whisperd models pull large-v3-turbo")


@pytest.mark.parametrize(
    ("owner", "me", "command"),
    [
        (998, 998, "sudo whisperd models pull base"),
        (998, 1000, "sudo whisperd models pull base"),
        (998, 0, "whisperd models pull base"),
        (1000, 1000, "whisperd models pull base"),
    ],
)
def test_sudo_is_advised_where_a_system_account_owns_the_models(
    store: Store, monkeypatch: pytest.MonkeyPatch, owner: int, me: int, command: str
) -> None:
    class Status:
        st_uid = owner

    monkeypatch.setattr("os.geteuid", lambda: me)
    monkeypatch.setattr(Path, "exists", lambda _path: True)
    monkeypatch.setattr(Path, "stat", lambda _path: Status())
    assert store.pull_command("base") == command


def test_the_daemons_side_imports_nothing_that_fetches() -> None:
    code = (
        "import sys, whisperd.models.store\n"
        "print([name for name in ('huggingface_hub', 'pip', 'rich', 'zipfile') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
