"""The unit files against systemd's own judgement, and against the program that they start."""

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from whisperd.cli.parser import COMMANDS
from whisperd.config.schema import Config
from whisperd.errors import ConfigError, StartError

UNITS = Path(__file__).parent.parent / "systemd"
SERVICE = UNITS / "whisperd.service"

needs_systemd_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def directives(unit: Path) -> dict[str, list[str]]:
    """A unit's directives, each with its values in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, value in re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE):
        found[name].append(value)
    return found


def seconds(unit: Path, name: str) -> float:
    """A directive that is a plain number of seconds."""
    return float(directives(unit)[name][-1])


@needs_systemd_analyze
@pytest.mark.parametrize("unit", sorted(UNITS.iterdir()), ids=lambda unit: unit.name)
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    for other in UNITS.iterdir():
        # systemd looks for the programs, which are not installed here
        text = re.sub(r"^(Exec\w+=)\S+", r"\1/bin/true", other.read_text(), flags=re.MULTILINE)
        (tmp_path / other.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / unit.name],
        capture_output=True,
        text=True,
        check=True,
    )
    # it only warns of unknown names and bad values
    assert done.stderr == ""


@needs_systemd_analyze
def test_the_service_is_exposed_by_2_of_10_or_less(tmp_path: Path) -> None:
    shutil.copy(SERVICE, tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", tmp_path / SERVICE.name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_cards_are_allowed_by_group_because_a_glob_of_paths_matches_nothing() -> None:
    unit = directives(SERVICE)
    assert unit["DeviceAllow"] == ["char-nvidia* rw"]
    assert unit["DevicePolicy"] == ["closed"]
    assert unit["PrivateDevices"] == ["no"]


def test_code_may_be_written_at_run_time_because_convolutions_on_the_cpu_are() -> None:
    assert directives(SERVICE)["MemoryDenyWriteExecute"] == ["no"]


def test_what_starting_again_cannot_mend_is_not_started_again() -> None:
    unit = directives(SERVICE)
    assert unit["RestartPreventExitStatus"] == [str(ConfigError.exit_code)] == [str(StartError.exit_code)]
    # systemd heeds that status for the main process alone
    assert "ExecStartPre" not in unit


def test_the_units_call_commands_that_exist() -> None:
    unit = directives(SERVICE)
    commands = [line.split() for line in unit["ExecStart"] + unit["ExecReload"]]
    assert [program for program, _ in commands] == ["/usr/bin/whisperd"] * 2
    assert {command for _, command in commands} <= set(COMMANDS)


def test_the_directories_that_systemd_makes_are_the_configured_ones() -> None:
    unit, paths = directives(SERVICE), Config().paths
    assert f"/var/lib/{unit['StateDirectory'][0]}" == str(paths.state)
    assert f"/run/{unit['RuntimeDirectory'][0]}" == str(paths.run)
    assert paths.spool.is_relative_to(f"/var/cache/{unit['CacheDirectory'][0]}")


def test_a_stop_may_take_as_long_as_the_draining() -> None:
    assert seconds(SERVICE, "TimeoutStopSec") > Config().server.drain_timeout


def test_the_watchdog_waits_longer_than_the_daemon_waits_for_its_workers() -> None:
    workers = Config().workers
    assert seconds(SERVICE, "WatchdogSec") > 2 * (workers.ping_timeout + workers.ping_interval)


def test_the_socket_listens_where_the_daemon_would() -> None:
    port = Config().server.listen[0].rpartition(":")[2]
    assert directives(UNITS / "whisperd.socket")["ListenStream"] == [port]
