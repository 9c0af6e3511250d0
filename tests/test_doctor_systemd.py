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


SERVICE = pwd.struct_passwd(("whisperd", "x", 990, 991, "", "/nonexistent", "/usr/sbin/nologin"))
ASKER = pwd.struct_passwd(("alice", "x", 1000, 1000, "", "/home/alice", "/bin/sh"))
ROOT = pwd.struct_passwd(("root", "x", 0, 0, "", "/root", "/bin/sh"))


def accounts(monkeypatch: pytest.MonkeyPatch, *known: pwd.struct_passwd, asks: pwd.struct_passwd) -> None:
    monkeypatch.setattr("pwd.getpwnam", {account.pw_name: account for account in known}.__getitem__)
    monkeypatch.setattr("pwd.getpwuid", {account.pw_uid: account for account in known}.__getitem__)
    monkeypatch.setattr("os.getgrouplist", lambda _, gid: [gid, 44])
    monkeypatch.setattr("os.geteuid", lambda: asks.pw_uid)


@pytest.mark.parametrize("asks", [ROOT, ASKER], ids=["root", "alice"])
def test_the_daemon_is_whom_its_state_belongs_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: pwd.struct_passwd
) -> None:
    owner = pwd.struct_passwd(("whisperd", "x", tmp_path.stat().st_uid, 991, "", "", ""))
    accounts(monkeypatch, owner, asks=asks)
    assert User.of_the_daemon(tmp_path) == User("whisperd", owner.pw_uid, frozenset({991, 44}))


def test_before_the_first_start_root_speaks_for_the_packages_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts(monkeypatch, ROOT, SERVICE, asks=ROOT)
    assert User.of_the_daemon(tmp_path / "state") == User("whisperd", 990, frozenset({991, 44}))


@pytest.mark.parametrize("asks", [ROOT, ASKER], ids=["root", "alice"])
def test_without_package_and_state_it_is_whoever_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: pwd.struct_passwd
) -> None:
    accounts(monkeypatch, ROOT, ASKER, asks=asks)
    assert User.of_the_daemon(tmp_path / "state").name == asks.pw_name
