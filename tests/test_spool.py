"""The spool: nothing stays."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from whisperd.errors import Unavailable
from whisperd.media.spool import Spool


def test_a_directory_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.sweep()
    with spool.directory() as directory:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        (directory / "upload").write_bytes(b"x")
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_failure_leaves_nothing_either(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(KeyError), spool.directory():
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mkdir(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(Unavailable), Spool(tmp_path).directory():
        pytest.fail("there was room")


def test_a_sweep_counts_and_removes_what_a_crash_left(tmp_path: Path) -> None:
    (tmp_path / "orphan").mkdir()
    (tmp_path / "orphan" / "upload").write_bytes(b"x")
    assert Spool(tmp_path).sweep() == 1
    assert list(tmp_path.iterdir()) == []
