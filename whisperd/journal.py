"""Logging for a service that is watched with journalctl.

Under systemd a record goes to journald's own socket, so that its fields (`REQUEST_ID=`, `OUTCOME=`, ...)
can be searched (`journalctl -u whisperd OUTCOME=failed`); elsewhere it is one line on stderr with the
same fields behind it.

    logger.info("...", extra=fields(request_id=..., outcome="ok"))
"""

import logging
import os
import socket
import struct
import sys
from typing import Any, Final, TextIO

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"

_PRIORITY: Final = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


def fields(**values: Any) -> dict[str, Any]:
    """The `extra=` of a log call: journal fields, by lower-case name. None is left out."""
    return {"journal_fields": {name: value for name, value in values.items() if value is not None}}


def setup(level: str, stream: TextIO = sys.stderr) -> None:
    """Log to the journal when `stream` is connected to it, else to `stream`."""
    handler: logging.Handler
    if _is_journal(stream):
        handler = JournalHandler(JOURNAL_SOCKET)
    else:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(LineFormatter(prefixed=not stream.isatty()))
    # Nobody reads these of a record, and each is asked of the system.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """Change the least severe level that whisperd itself logs."""
    logging.getLogger("whisperd").setLevel(level.upper())
    # What libraries say in passing is nobody's business; what they warn of is.
    logging.getLogger().setLevel(max(logging.WARNING, logging.getLogger("whisperd").level))


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd connected this stream to the journal: JOURNAL_STREAM names its device and inode."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class LineFormatter(logging.Formatter):
    """`message key=value ...`, behind a `<priority>` that systemd and logger(1) understand."""

    def __init__(self, *, prefixed: bool) -> None:
        super().__init__()
        self._prefixed = prefixed

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        extra: dict[str, Any] = getattr(record, "journal_fields", {})
        if extra:
            line = f"{line} [{' '.join(f'{name}={value}' for name, value in extra.items())}]"
        if not self._prefixed:
            return line
        prefix = f"<{_priority(record.levelno)}>"
        return "\n".join(prefix + part for part in line.split("\n"))


class JournalHandler(logging.Handler):
    """Speaks journald's native protocol: one datagram of fields for each record."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._address = address
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        values = {
            "MESSAGE": self._formatter.format(record),
            "PRIORITY": _priority(record.levelno),
            "SYSLOG_IDENTIFIER": "whisperd",
            "LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": record.lineno,
            "CODE_FUNC": record.funcName,
        }
        extra: dict[str, Any] = getattr(record, "journal_fields", {})
        values |= {name.upper(): value for name, value in extra.items()}
        datagram = b"".join(_field(name, str(value)) for name, value in values.items())
        try:
            self._socket.sendto(datagram, self._address)
        except OSError:
            self.handleError(record)

    def close(self) -> None:
        self._socket.close()
        super().close()


def _priority(level: int) -> int:
    return _PRIORITY.get(level, 6)


def _field(name: str, value: str) -> bytes:
    """One field: `NAME=value`, or with a length where the value has lines."""
    data = value.encode(errors="replace")
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
