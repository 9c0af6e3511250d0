"""Putting models into the state directory and taking them out: each all at once.

Under `<state>/models/.partial` each model has a lock file and, while it is not complete, a directory of
work. One rename makes it an installed model.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from whisperd.errors import ModelFilesError
from whisperd.models.progress import Progress
from whisperd.models.store import MANIFEST, Manifest, Store


def work_directory(store: Store, name: str) -> Path:
    """Where a model is put together."""
    return store.root / ".partial" / store.directory(name).name


@contextmanager
def writing(store: Store) -> Iterator[None]:
    """Turn the disk's refusals into errors for a person."""
    try:
        yield
    except OSError as error:
        where = error.filename or store.root
        raise ModelFilesError(f"can't write {where}: {error.strerror or error}") from error


@contextmanager
def lock(store: Store, name: str, progress: Progress) -> Iterator[None]:
    """Keep other processes from this model; wait for one that is at it."""
    work = work_directory(store, name)
    work.parent.mkdir(parents=True, exist_ok=True)
    with work.with_name(f"{work.name}.lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"{name}: waiting for another process that is at it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def install(files: Path, manifest: Manifest, store: Store) -> None:
    """Make the complete `files`, below the model's work directory, the installed model. Raises OSError."""
    (files / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    for path in files.rglob("*"):
        _sync(path)
    _sync(files)
    directory = store.directory(manifest.name)
    work = work_directory(store, manifest.name)
    if directory.exists():
        replaced = work / "replaced"
        if replaced.exists():  # by a pull that was cut off between the two renames
            shutil.rmtree(replaced)
        directory.rename(replaced)
    files.rename(directory)
    _sync(directory.parent)
    shutil.rmtree(work)


def remove(name: str, store: Store, progress: Progress) -> None:
    """Delete an installed model, and what there is of an unfinished pull. Raises ModelFilesError."""
    directory = store.directory(name)
    if directory.parent != store.root:
        raise ModelFilesError(f"{name} is not one of the installed models")
    with writing(store), lock(store, name, progress):
        work = work_directory(store, name)
        if not directory.is_dir() and not work.is_dir():
            raise ModelFilesError(f"{name} is not installed")
        if work.is_dir():
            shutil.rmtree(work)
        if directory.is_dir():
            directory.rename(work)  # gone at once, however long the deleting takes
            shutil.rmtree(work)
        progress.say(f"{name}: removed")


def _sync(path: Path) -> None:
    """Have it on the disk before a name says that it is there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
