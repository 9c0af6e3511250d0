"""What the doctor asks of systemd, and as whose eyes it looks."""

import os
import pwd
from pathlib import Path

import pytest

from whisperd.doctor import systemd
from whisperd.doctor.user import User

LOADED = """\
DevicePolicy=closed
DeviceAllow=/dev/nvidiactl rw
DeviceAllow=char-nvidia* rw
SupplementaryGroups=video render
PrivateDevices=no
LoadState=loaded
ActiveState=inactive
"""
UNKNOWN = "DevicePolicy=auto\nLoadState=not-found\n"


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name, which prints what is in the file beside it."""
    program = tmp_path / "systemctl"
    program.write_text('#!/bin/sh\ncat "$0.says"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return program.with_name("systemctl.says")


def test_a_units_properties_are_read_with_each_entry_of_a_list(systemctl: Path) -> None:
    systemctl.write_text(LOADED)
    properties = systemd.show(systemd.SERVICE)
    assert properties["DeviceAllow"] == ["/dev/nvidiactl rw", "char-nvidia* rw"]
    assert properties["DevicePolicy"] == ["closed"]
    assert properties["ActiveState"] == ["inactive"]


def test_a_unit_that_systemd_does_not_know_has_no_properties(systemctl: Path) -> None:
    systemctl.write_text(UNKNOWN)
    assert systemd.show(systemd.SERVICE) == {}


def test_a_machine_without_systemd_has_no_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, systemctl: Path
) -> None:
    assert systemd.show(systemd.SERVICE) == {}, "systemctl that fails"
    assert not systemctl.exists()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert systemd.show(systemd.SERVICE) == {}


def test_a_systemd_that_hangs_is_not_waited_for(systemctl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl.with_name("systemctl").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(systemd, "_TIMEOUT_S", 0.1)
    assert systemd.show(systemd.SERVICE) == {}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> pwd.struct_passwd:
    """The package's user."""
    made = pwd.struct_passwd(("whisperd", "x", 990, 991, "", "/nonexistent", "/usr/sbin/nologin"))
    monkeypatch.setattr("pwd.getpwnam", {"whisperd": made}.__getitem__)
    monkeypatch.setattr("os.getgrouplist", lambda _, gid: [gid, 44])
    return made


def test_root_looks_with_the_eyes_of_the_packages_user(
    account: pwd.struct_passwd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert User.of_the_daemon() == User("whisperd", account.pw_uid, frozenset({991, 44}))


@pytest.mark.usefixtures("account")
def test_anybody_else_looks_with_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: pwd.getpwuid(1).pw_uid)
    assert User.of_the_daemon().uid == 1


def test_without_the_package_root_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("pwd.getpwnam", {}.__getitem__)
    assert User.of_the_daemon().uid == 0
