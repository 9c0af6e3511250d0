"""Files that are filled as they arrive: nothing is lost, reordered or left to a thread that still writes."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from whisperd.errors import Unavailable
from whisperd.media.disk import QUICK_BYTES, Sink, storing

PIECES = [os.urandom(QUICK_BYTES // 3) for _ in range(20)] + [b"end"]


async def fill(path: Path, pieces: list[bytes], *, lasting: bool = False) -> Sink:
    """Fill a file; a sender that has nothing more to send breaks off."""
    async with storing(path, lasting=lasting) as sink:
        for piece in pieces:
            await sink.write(piece)
        if not pieces[-1]:
            raise ConnectionResetError
    return sink


@pytest.mark.parametrize("lasting", [True, False])
async def test_what_comes_in_pieces_is_one_file(tmp_path: Path, lasting: bool) -> None:
    sink = await fill(tmp_path / "file", PIECES, lasting=lasting)
    whole = b"".join(PIECES)
    assert (tmp_path / "file").read_bytes() == whole
    assert sink.size == len(whole)


async def test_a_file_that_is_to_last_is_known_by_its_digest(tmp_path: Path) -> None:
    sink = await fill(tmp_path / "file", PIECES, lasting=True)
    assert sink.digest == hashlib.sha256(b"".join(PIECES)).hexdigest()


async def test_a_file_that_is_soon_gone_is_not_hashed(tmp_path: Path) -> None:
    assert (await fill(tmp_path / "file", PIECES)).digest is None


def fail_with(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Sink, "_put", put)


@pytest.mark.parametrize("pieces", [PIECES, [b"few bytes"]], ids=["on the way", "at the end"])
async def test_a_disk_that_is_full_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]
) -> None:
    fail_with(errno.ENOSPC, monkeypatch)
    with pytest.raises(Unavailable):
        await fill(tmp_path / "file", pieces)


async def test_a_disk_that_fails_is_told_of_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(errno.EIO, monkeypatch)
    with pytest.raises(OSError, match="Input/output error"):
        await fill(tmp_path / "file", PIECES)


async def test_a_sender_who_breaks_off_is_told_of_also_when_the_disk_fails_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(errno.EIO, monkeypatch)
    with pytest.raises(ConnectionResetError):
        await fill(tmp_path / "file", [bytes(QUICK_BYTES), b""])
