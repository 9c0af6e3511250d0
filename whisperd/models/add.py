"""Installing a translation model that somebody has, for pairs of languages that the catalogue lacks.

It is a directory that OPUS-MT published, which is converted, or one for CTranslate2.
"""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from whisperd.errors import ModelFilesError
from whisperd.models.checksum import sha256
from whisperd.models.install import install, lock, work_directory, writing
from whisperd.models.progress import Progress
from whisperd.models.sources import File
from whisperd.models.store import Manifest, Store
from whisperd.transcript.pairs import pair_of

_RELEASE: Final = "decoder.yml"
"""What tells a directory that OPUS-MT published."""
_LICENCE: Final = "LICENSE"
_TOKENIZERS: Final = ("source.spm", "target.spm")
_CONVERTED: Final = ("model.bin", "config.json", "*_vocabulary.json", "*_vocabulary.txt")


def add(name: str, directory: Path, store: Store, progress: Progress) -> None:
    """Install what is in `directory` as the translation model `name`. Raises ModelFilesError."""
    if pair_of(name) is None:
        raise ModelFilesError(
            f"{name!r} does not say for which languages it is: a name such as opus-mt-en-it does"
        )
    try:
        there = {path.name for path in directory.iterdir()}
    except OSError as error:
        raise ModelFilesError(f"can't read {directory}: {error.strerror}") from error
    if missing := [needed for needed in _TOKENIZERS if needed not in there]:
        raise ModelFilesError(f"{directory} lacks {', '.join(missing)}")
    if not there & {_RELEASE, "model.bin"}:
        raise ModelFilesError(
            f"{directory} is no model for CTranslate2 (it lacks model.bin) and none that OPUS-MT published "
            f"(it lacks {_RELEASE})"
        )
    with writing(store), lock(store, name, progress):
        work = work_directory(store, name)
        if work.exists():
            shutil.rmtree(work)
        files = work / "files"
        files.mkdir(parents=True)
        if _RELEASE in there:
            progress.say(f"{name}: converting {directory}")
            _convert(directory, files)
            _copy(directory, files, *_TOKENIZERS, _LICENCE)
        else:
            _copy(directory, files, *_CONVERTED, *_TOKENIZERS, _LICENCE)
        install(files, _manifest(name, directory, files), store)
        progress.say(f"{name}: installed in {store.directory(name)}")


def _convert(directory: Path, files: Path) -> None:
    from ctranslate2.converters import OpusMTConverter

    try:
        OpusMTConverter(str(directory)).convert(str(files), quantization="float16", force=True)
    except Exception as error:  # of NumPy, YAML, zip files and CTranslate2: these are a stranger's files
        raise ModelFilesError(f"{directory} can't be converted: {type(error).__name__}: {error}") from error


def _copy(directory: Path, files: Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in directory.glob(pattern):
            try:
                shutil.copyfile(path, files / path.name)
            except PermissionError as error:
                raise ModelFilesError(f"can't read {path}: {error.strerror}") from error


def _manifest(name: str, directory: Path, files: Path) -> Manifest:
    licence = files / _LICENCE
    return Manifest(
        name=name,
        kind="translation",
        source=str(directory),
        licence=licence.read_text(encoding="utf-8").strip().partition("\n")[0]
        if licence.exists()
        else "unknown",
        pulled_at=datetime.now(UTC),
        files=tuple(File(path.name, path.stat().st_size, sha256(path)) for path in sorted(files.iterdir())),
    )
