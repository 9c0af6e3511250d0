"""What reaches the journal, and what a line on stderr looks like."""

import io
import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from whisperd import journal
from whisperd.journal import JournalHandler, LineFormatter, fields


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("whisperd")
    before = root.handlers[:], root.level, own.level
    yield
    for handler in root.handlers:
        if isinstance(handler, JournalHandler):
            handler.close()
    root.handlers[:], root.level, own.level = before


def record(message: str, level: int = logging.INFO, **values: object) -> logging.LogRecord:
    made = logging.LogRecord("whisperd.test", level, "file.py", 7, message, (), None, "function")
    made.__dict__.update(fields(**values))
    return made


def parse(datagram: bytes) -> dict[str, str]:
    """Read journald's native format, both of its ways to write a field."""
    found = {}
    stream = io.BytesIO(datagram)
    while line := stream.readline():
        name, equals, value = line.rstrip(b"\n").partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", stream.read(8))
            value = stream.read(length)
            assert stream.read(1) == b"\n"
        found[name.decode()] = value.decode()
    return found


def received(tmp_path: Path, made: logging.LogRecord) -> dict[str, str]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(tmp_path / "socket"))
        handler = JournalHandler(str(tmp_path / "socket"))
        handler.handle(made)
        handler.close()
        return parse(journald.recv(65_536))


def test_fields_can_be_searched_in_the_journal(tmp_path: Path) -> None:
    found = received(tmp_path, record("done", request_id="abc", audio_s=1.5, model=None))
    assert found["MESSAGE"] == "done"
    assert found["PRIORITY"] == "6"
    assert found["REQUEST_ID"] == "abc"
    assert found["AUDIO_S"] == "1.5"
    assert "MODEL" not in found
    assert found["SYSLOG_IDENTIFIER"] == "whisperd"


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, "7"), (logging.WARNING, "4"), (logging.ERROR, "3"), (logging.CRITICAL, "2")],
)
def test_levels_become_priorities(tmp_path: Path, level: int, priority: str) -> None:
    assert received(tmp_path, record("x", level))["PRIORITY"] == priority


def test_a_message_of_several_lines_stays_one_record(tmp_path: Path) -> None:
    assert received(tmp_path, record("one\ntwo=2\n\nthree"))["MESSAGE"] == "one\ntwo=2\n\nthree"


def test_a_value_cannot_forge_another_field(tmp_path: Path) -> None:
    found = received(tmp_path, record("x", client="evil\nPRIORITY=0"))
    assert found["CLIENT"] == "evil\nPRIORITY=0"
    assert found["PRIORITY"] == "6"


def test_a_line_on_stderr_has_its_priority_and_its_fields() -> None:
    line = LineFormatter(prefixed=True).format(record("done", logging.WARNING, status=200))
    assert line == "<4>done [status=200]"
    assert LineFormatter(prefixed=False).format(record("done")) == "done"


def test_each_line_of_a_traceback_has_its_priority() -> None:
    text = LineFormatter(prefixed=True).format(record("one\ntwo", logging.ERROR))
    assert text == "<3>one\n<3>two"


def test_stderr_that_is_no_journal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    stream = io.StringIO()
    journal.setup("info", stream)
    logging.getLogger("whisperd.x").info("hello")
    assert stream.getvalue() == "<6>hello\n"


def test_stderr_that_is_the_journal_is_recognised_by_its_inode(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        journal.setup("info", stream)
    assert isinstance(logging.getLogger().handlers[0], JournalHandler)


def test_libraries_warn_and_say_nothing_else() -> None:
    stream = io.StringIO()
    journal.setup("debug", stream)
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble")
    logging.getLogger("whisperd.x").debug("detail")
    assert stream.getvalue().splitlines() == ["<4>trouble", "<7>detail"]
    journal.set_level("error")
    logging.getLogger("library").warning("trouble")
    logging.getLogger("whisperd.x").warning("trouble")
    assert len(stream.getvalue().splitlines()) == 2
