"""The tools of torture do to a database and a disk what they say, and no more."""

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from torture.clips import clips, marked, says
from torture.disk import Disk, empty, fill, why_no_disk
from torture.load import orders
from torture.wal import committed_bytes, tear

ROWS = 50
needs_disk = pytest.mark.skipif(why_no_disk() is not None, reason=why_no_disk() or "")


def crashed(directory: Path) -> Path:
    """A database as a crash leaves it: rows in the log, and an open transaction's pages behind them."""
    live = directory / "live.db"
    dead = directory / "dead.db"
    with closing(sqlite3.connect(live, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA wal_autocheckpoint=0")
        database.execute("PRAGMA cache_size=2")
        database.execute("CREATE TABLE rows (number INTEGER, noise BLOB)")
        for number in range(ROWS):
            database.execute("INSERT INTO rows VALUES (?, randomblob(300))", (number,))
        database.execute("BEGIN")
        for number in range(500):
            database.execute("INSERT INTO rows VALUES (?, randomblob(3000))", (ROWS + number,))
        for suffix in ("", "-wal"):
            dead.with_name(dead.name + suffix).write_bytes(live.with_name(live.name + suffix).read_bytes())
    return dead


def rows(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [number for (number,) in database.execute("SELECT number FROM rows ORDER BY number")]


@pytest.mark.parametrize("seed", range(20))
def test_a_torn_log_keeps_all_that_was_committed_and_nothing_else(tmp_path: Path, seed: int) -> None:
    path = crashed(tmp_path)
    log = path.with_name("dead.db-wal")
    whole = log.read_bytes()
    end = committed_bytes(whole)
    assert 0 < end < len(whole)
    tear(log, random.Random(seed))
    assert log.read_bytes()[:end] == whole[:end]
    assert rows(path) == list(range(ROWS))


def test_one_byte_less_than_what_was_committed_loses_a_row(tmp_path: Path) -> None:
    path = crashed(tmp_path)
    log = path.with_name("dead.db-wal")
    log.write_bytes(log.read_bytes()[: committed_bytes(log.read_bytes()) - 1])
    assert rows(path) == list(range(ROWS - 1))


def test_there_is_nothing_to_tear_where_there_is_no_log(tmp_path: Path) -> None:
    assert tear(tmp_path / "absent", random.Random(0)) == "no log to tear"


@needs_disk
def test_a_loss_of_power_loses_what_was_not_synced_and_nothing_else(tmp_path: Path) -> None:
    with Disk(tmp_path, mib=32) as disk:
        with (disk.path / "synced").open("wb") as file:
            file.write(b"kept")
            file.flush()
            os.fsync(file.fileno())
        (disk.path / "written").write_bytes(b"lost")
        disk.lose_power()
        assert (disk.path / "synced").read_bytes() == b"kept"
        assert not (disk.path / "written").exists()


@needs_disk
def test_a_full_disk_takes_no_more_until_it_is_freed(tmp_path: Path) -> None:
    with Disk(tmp_path, mib=32) as disk:
        fill(disk.path)
        with pytest.raises(OSError, match="No space left"):
            (disk.path / "more").write_bytes(bytes(2**16))
        empty(disk.path)
        (disk.path / "more").write_bytes(bytes(2**16))


def test_the_same_seed_orders_the_same_jobs() -> None:
    material = clips()
    assert orders(material, 50, 7) == orders(material, 50, 7) != orders(material, 50, 8)


def test_two_of_five_jobs_share_a_recording() -> None:
    digests = [order.digest for order in orders(clips(), 50, 7)]
    assert len(set(digests)) == 40


def test_a_marked_recording_is_other_bytes_of_the_same_sound() -> None:
    wav = clips()[0].wav
    one, other = marked(wav, "one"), marked(wav, "other")
    assert one != other
    assert one[12 : len(wav)] == other[12 : len(wav)] == wav[12:]


def test_a_transcript_tells_whose_it_is() -> None:
    references = {"a": "Hello there, my friend.", "b": "A Yankee down here."}
    assert says("hello there my friend", "a", references)
    assert not says("hello there my friend", "b", references)
    assert not says("", "a", references)
