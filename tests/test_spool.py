"""The spool: nothing stays."""

import stat
from pathlib import Path

import pytest

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


def test_a_sweep_counts_and_removes_what_a_crash_left(tmp_path: Path) -> None:
    (tmp_path / "orphan").mkdir()
    (tmp_path / "orphan" / "upload").write_bytes(b"x")
    assert Spool(tmp_path).sweep() == 1
    assert list(tmp_path.iterdir()) == []
