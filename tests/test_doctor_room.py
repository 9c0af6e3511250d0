"""The doctor on devices, memory, disks and addresses."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest
from conftest import changed
from fake_machine import NOBODY, FakeUnits, machine, states
from fake_nvidia import FakeNvml, FakeRoot, device

from whisperd.config.schema import Config
from whisperd.config.units import Duration, Size
from whisperd.doctor.device import check_device
from whisperd.doctor.disk import check_disk
from whisperd.doctor.finding import Finding
from whisperd.doctor.listening import check_addresses


@pytest.fixture
def root(tmp_path: Path) -> FakeRoot:
    return FakeRoot(tmp_path / "root")


@pytest.fixture
def running(config: Config) -> Iterator[None]:
    """A daemon's control socket that takes connections."""
    config.paths.run.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(config.paths.control_socket))
        listener.listen()
        yield


def device_findings(config: Config, root: FakeRoot, **changes: Any) -> list[Finding]:
    return list(check_device(machine(config, root, **changes)))


def available(root: FakeRoot, kilobytes: int) -> None:
    (root.path / "proc").mkdir(parents=True)
    (root.path / "proc/meminfo").write_text(
        f"MemTotal:       25000000 kB\nMemFree:         1 kB\nMemAvailable:   {kilobytes} kB\n"
    )


# ---- device and memory ---------------------------------------------------------------------------


def test_a_machine_without_a_card_is_fine_with_the_cpu(config: Config, root: FakeRoot) -> None:
    available(root, 8_000_000)
    place, memory = device_findings(config, root)
    assert (place.state, place.detail) == ("ok", "base would run on the CPU in int8")
    assert (memory.name, memory.state) == ("memory", "ok")


def test_a_card_gets_the_large_model(config: Config, root: FakeRoot) -> None:
    root.add_pci_device()
    (place,) = device_findings(config, root)
    assert place.detail == "large-v3-turbo would run on NVIDIA GeForce RTX 3060 (cuda:0) in float16"


def test_each_card_that_would_be_used_is_named(config: Config, root: FakeRoot) -> None:
    root.add_pci_device()
    config = changed(config, "transcribe", device="cuda:all")
    found = device_findings(config, root, nvml=FakeNvml(devices=(device(), device("NVIDIA L4"))))
    assert [place.detail for place in found] == [
        "large-v3-turbo would run on NVIDIA GeForce RTX 3060 (cuda:0) in float16",
        "large-v3-turbo would run on NVIDIA L4 (cuda:1) in float16",
    ]


def test_cuda_that_cannot_be_had_is_a_failure(config: Config, root: FakeRoot) -> None:
    (place,) = device_findings(changed(config, "transcribe", device="cuda"), root)
    assert place.state == "failure"
    assert "no NVIDIA card" in place.detail


def test_a_card_that_auto_cannot_use_is_a_warning(config: Config, root: FakeRoot) -> None:
    root.add_pci_device(driver="nouveau")
    nvml = FakeNvml(error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    place, warning = device_findings(config, root, nvml=nvml)
    assert (place.state, warning.state) == ("ok", "warning")
    assert "nouveau" in warning.detail


def test_short_memory_on_the_card_is_a_warning_unless_the_daemon_itself_holds_it(
    config: Config, root: FakeRoot, request: pytest.FixtureRequest
) -> None:
    root.add_pci_device()
    nvml = FakeNvml([device(free=1)])
    findings = device_findings(config, root, nvml=nvml)
    assert [(finding.name, finding.state) for finding in findings[1:]] == [("GPU memory", "warning")]
    request.getfixturevalue("running")
    assert "warning" not in states(device_findings(config, root, nvml=nvml))


def test_short_memory_of_the_machine_is_a_warning(config: Config, root: FakeRoot) -> None:
    available(root, 1_000_000)
    memory = device_findings(config, root)[-1]
    assert (memory.name, memory.state) == ("memory", "warning")
    assert memory.detail == "1.0 GB are available, and the engines need about 1.9 GB"


# ---- disks ---------------------------------------------------------------------------------------


def disk_findings(config: Config, **changes: Any) -> list[Finding]:
    return list(check_disk(machine(config, **changes)))


@pytest.mark.parametrize(
    ("free", "expected"),
    [(10**12, ["ok", "ok"]), (4 * 10**9, ["ok", "warning"]), (10**7, ["failure", "failure"])],
)
def test_room_is_wanted_for_the_largest_upload_and_the_longest_recording(
    config: Config, free: int, expected: list[str]
) -> None:
    assert states(disk_findings(config, free_bytes=lambda _: free)) == expected


def test_smaller_limits_want_less_room(config: Config) -> None:
    config = changed(config, "limits", upload=Size("100MB"), duration=Duration("1h"))
    assert states(disk_findings(config, free_bytes=lambda _: 4 * 10**8)) == ["ok", "ok"]


def test_a_directory_that_is_not_there_yet_is_measured_where_it_will_be(config: Config) -> None:
    asked: list[Path] = []

    def free_bytes(path: Path) -> int:
        asked.append(path)
        return 10**12

    disk_findings(config, free_bytes=free_bytes)
    assert asked == [config.paths.state.parent, config.paths.spool.parent]


def test_a_directory_of_somebody_else_is_a_failure(config: Config) -> None:
    config.paths.state.mkdir(mode=0o755)
    state, _ = disk_findings(config, user=NOBODY)
    assert state.state == "failure"
    assert f"whisperd may not write in {config.paths.state}" in state.detail


def test_directories_that_systemd_will_make_need_no_right_to_make_them(config: Config) -> None:
    unit = FakeUnits(whisperd_service={"LoadState": ["loaded"]})
    assert states(disk_findings(config, user=NOBODY, unit=unit)) == ["ok", "ok"]
    assert states(disk_findings(config, user=NOBODY)) == ["failure", "failure"]


# ---- addresses -----------------------------------------------------------------------------------


def address_findings(config: Config, listen: str, **changes: Any) -> list[Finding]:
    return list(check_addresses(machine(changed(config, "server", listen=(listen,)), **changes)))


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_free_port_is_fine_and_stays_free(config: Config) -> None:
    assert states(address_findings(config, "127.0.0.1:0")) == ["ok"]


def test_a_port_of_another_program_is_a_failure(config: Config, taken: int) -> None:
    (finding,) = address_findings(config, f"127.0.0.1:{taken}")
    assert (finding.state, finding.detail) == ("failure", "taken by another program")
    assert f":{taken}" in (finding.remedy or "")


@pytest.mark.usefixtures("running")
def test_a_port_that_whisperd_itself_serves_is_fine(config: Config, taken: int) -> None:
    (finding,) = address_findings(config, f"127.0.0.1:{taken}")
    assert (finding.state, finding.detail) == ("ok", "whisperd is serving")


def test_sockets_that_systemd_holds_are_fine(config: Config, taken: int) -> None:
    unit = FakeUnits(whisperd_socket={"ActiveState": ["active"]})
    assert states(address_findings(config, f"127.0.0.1:{taken}", unit=unit)) == ["ok"]


def test_an_address_of_another_machine_is_a_failure(config: Config) -> None:
    (finding,) = address_findings(config, "192.0.2.1:8000")
    assert finding.state == "failure"
    assert finding.detail == "can't be had: Cannot assign requested address"


def test_a_name_that_nobody_knows_is_a_failure(config: Config) -> None:
    (finding,) = address_findings(config, "no-such-host.invalid:8000")
    assert finding.state == "failure"
    assert finding.detail.startswith("can't be had: ")
    assert "(" not in finding.detail


def test_a_port_kept_for_root_is_a_failure_for_a_service_without_rights(
    config: Config, root: FakeRoot
) -> None:
    (finding,) = address_findings(config, "127.0.0.1:80", user=NOBODY)
    assert finding.state == "failure"
    assert "port 80 is kept for root" in finding.detail
    settings = root.path / "proc/sys/net/ipv4"
    settings.mkdir(parents=True)
    (settings / "ip_unprivileged_port_start").write_text("0\n")
    (finding,) = address_findings(config, "127.0.0.1:80", user=NOBODY, root=root)
    assert "kept for root" not in finding.detail


def test_a_unix_socket_is_free_unless_somebody_answers(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    assert states(address_findings(config, f"unix:{path}")) == ["ok"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert states(address_findings(config, f"unix:{path}")) == ["ok"], "left by a crash"
        listener.listen()
        assert states(address_findings(config, f"unix:{path}")) == ["failure"]
    assert path.exists()
