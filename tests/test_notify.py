"""What systemd is told, and what it hands over."""

import contextlib
import os
import socket
from pathlib import Path

import pytest

from whisperd import notify
from whisperd.notify import Notifier


@pytest.mark.parametrize("address", ["{tmp}/notify", "@whisperd-test-{pid}"])
def test_notifications_reach_a_socket_with_a_path_or_without(tmp_path: Path, address: str) -> None:
    address = address.format(tmp=tmp_path, pid=os.getpid())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        with contextlib.closing(Notifier(address)) as notifier:
            notifier.ready("Serving")
            assert manager.recv(1000) == b"READY=1\nSTATUS=Serving"
            notifier.extend(1.5)
            assert manager.recv(1000) == b"EXTEND_TIMEOUT_USEC=1500000"
            notifier.reloading()
        kind, _, stamp = manager.recv(1000).decode().partition("\n")
        assert kind == "RELOADING=1"
        assert int(stamp.removeprefix("MONOTONIC_USEC=")) > 0


def test_without_a_manager_nothing_happens() -> None:
    Notifier(None).ready("Serving")


def test_a_manager_that_is_gone_is_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"))
    with contextlib.closing(notifier):
        notifier.watchdog()
    assert "could not be notified" in caplog.text


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("60000000", None, 30.0),
        ("60000000", str(os.getpid()), 30.0),
        ("60000000", "1", None),
        (None, None, None),
        ("", "", None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_time_by_whom_it_is_meant_for(
    usec: str | None, pid: str | None, expected: float | None
) -> None:
    assert notify.watchdog_interval_s(usec, pid) == expected


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    assert notify.passed_sockets("1", "3") == []
    assert notify.passed_sockets(None, None) == []
