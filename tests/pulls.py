"""What the tests of a pull need: models made of a few bytes, wheels that hold them, and a listener."""

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from whisperd.models.progress import Moved
from whisperd.models.sources import File, HubSource, IndexSource, Member, Model, Packed, Source, Wheel

REVISION = "a" * 40


class Listener:
    """A progress that remembers, and that can interrupt."""

    def __init__(self, *, interrupt_at: int | None = None) -> None:
        self.lines: list[str] = []
        self.transfers: list[str] = []
        self._interrupt_at = interrupt_at

    def say(self, line: str) -> None:
        """Remember it."""
        self.lines.append(line)

    @contextmanager
    def transfer(self, label: str, total: int) -> Iterator[Moved]:
        """Remember its label."""
        assert total > 0
        self.transfers.append(label)

        def moved(done: int) -> None:
            if self._interrupt_at is not None and done >= self._interrupt_at:
                raise KeyboardInterrupt

        yield moved

    @property
    def text(self) -> str:
        """All that was said."""
        return "\n".join(self.lines)


def pin(path: str, content: bytes) -> File:
    """A file of that content."""
    return File(path, len(content), hashlib.sha256(content).hexdigest())


def model(*sources: Source, name: str = "small-one") -> Model:
    """A model to be had from `sources`."""
    return Model(name=name, kind="whisper", languages="none", licence="MIT", sources=sources)


def hub_source(files: Mapping[str, bytes], *, gated: bool = False) -> HubSource:
    """A repository of the hub with those files."""
    pins = tuple(pin(path, content) for path, content in files.items())
    return HubSource("someone/small-one", REVISION, pins, gated=gated)


def index_source(files: Mapping[str, Mapping[str, bytes]]) -> IndexSource:
    """Wheels for files: `{path: {distribution: the part of the file that its wheel holds}}`."""
    return IndexSource(
        tuple(
            Packed(
                pin(path, b"".join(parts.values())),
                tuple(
                    Member(Wheel(f"{distribution}==1.0", 1000), _member(distribution, path))
                    for distribution in parts
                ),
            )
            for path, parts in files.items()
        )
    )


def write_wheels(directory: Path, files: Mapping[str, Mapping[str, bytes]]) -> None:
    """The wheels that `index_source` speaks of, where pip finds them."""
    directory.mkdir(exist_ok=True)
    for distribution in {distribution: None for parts in files.values() for distribution in parts}:
        module = distribution.replace("-", "_")
        information = f"{module}-1.0.dist-info"
        with zipfile.ZipFile(directory / f"{module}-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr(
                f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
            )
            archive.writestr(
                f"{information}/WHEEL",
                "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            archive.writestr(f"{information}/RECORD", "")
            for path, parts in files.items():
                if distribution in parts:
                    archive.writestr(_member(distribution, path), parts[distribution])


def _member(distribution: str, path: str) -> str:
    return f"{distribution.replace('-', '_')}/{path}"
