"""Sockets: what can be had, and what is said of those that can't."""

import socket
import stat
from pathlib import Path

import pytest

from whisperd.errors import StartError
from whisperd.listen import bind, bind_control


def test_the_same_port_can_be_had_for_both_internet_protocols() -> None:
    with bind(("127.0.0.1:0",))[0] as four:
        port = four.getsockname()[1]
        with bind((f"[::1]:{port}",))[0] as six:
            assert six.getsockname()[1] == port
            assert six.family == socket.AF_INET6


def test_a_unix_socket_is_for_its_group_and_replaces_one_that_a_crash_left(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/http.sock"
    for left in bind((address,)):
        left.close()
    with bind((address,))[0]:
        assert stat.S_IMODE((tmp_path / "http.sock").stat().st_mode) == 0o660


def test_a_file_that_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(StartError, match="cannot listen on unix:"):
        bind((f"unix:{tmp_path}/file",))
    assert (tmp_path / "file").read_text() == "precious"


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartError, match=f"cannot listen on {address}: .*in use"):
            bind((address,))


def test_a_foreign_address_is_named() -> None:
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1:8000"):
        bind(("192.0.2.1:8000",))


def test_the_control_socket_makes_its_directory(tmp_path: Path) -> None:
    with bind_control(tmp_path / "run" / "control.sock"):
        assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o750
