"""The doctor on cards, drivers and device nodes."""

import os
import stat
from pathlib import Path
from typing import Any

import pynvml
import pytest
from conftest import changed
from fake_machine import NOBODY, FakeEngines, FakeUnits, machine, states
from fake_nvidia import ENGINES, H200, QUADRO_M4000, FakeNvml, FakeRoot
from msgspec.structs import replace

from whisperd.config.schema import Config
from whisperd.doctor.checks import diagnose
from whisperd.doctor.finding import Finding, State
from whisperd.doctor.gpu import check_cards, check_driver
from whisperd.doctor.machine import Machine
from whisperd.doctor.nodes import check_nodes

NODES = ("nvidiactl", "nvidia0", "nvidia-uvm")
DEVICES = """\
Character devices:
  1 mem
195 nvidia
195 nvidiactl
508 nvidia-uvm

Block devices:
  8 sd
"""


@pytest.fixture
def root(tmp_path: Path) -> FakeRoot:
    return FakeRoot(tmp_path / "root")


@pytest.fixture
def gpu_root(root: FakeRoot) -> FakeRoot:
    """A machine with a card that works."""
    root.add_pci_device()
    root.load_module()
    root.add_nodes(*NODES)
    (root.path / "proc").mkdir()
    (root.path / "proc/devices").write_text(DEVICES)
    return root


def wants_cuda(config: Config) -> Config:
    return changed(config, "transcribe", device="cuda")


def gpu_findings(made: Machine) -> list[Finding]:
    """What is said before the engines' turn comes."""
    names = {"card", "device nodes", "device filter", "driver", "GPU", "library"}
    return [finding for finding in diagnose(made) if finding.name in names]


# ---- whether it matters --------------------------------------------------------------------------


def test_without_a_card_everything_about_gpus_is_skipped(config: Config, root: FakeRoot) -> None:
    assert set(states(gpu_findings(machine(config, root)))) == {"skipped"}


def test_a_configuration_for_the_cpu_makes_a_broken_card_no_matter(config: Config, root: FakeRoot) -> None:
    root.add_pci_device(driver="nouveau")
    config = changed(config, "transcribe", device="cpu")
    findings = gpu_findings(machine(config, root))
    assert set(states(findings)) == {"skipped"}
    assert {finding.detail for finding in findings} == {"the configuration asks for the CPU"}


@pytest.mark.parametrize(
    ("transcribe", "diarize", "enabled", "expected"),
    [
        ("auto", "auto", True, "welcome"),
        ("cpu", "auto", True, "unwanted"),
        ("cpu", "cpu", True, "unwanted"),
        ("cuda", "cpu", True, "required"),
        ("cpu", "cuda:1", True, "required"),
        ("cpu", "cuda", False, "unwanted"),
        ("auto", "cuda", True, "required"),
    ],
)
def test_both_engines_have_a_say_in_whether_a_gpu_is_wanted(
    config: Config, transcribe: str, diarize: str, enabled: bool, expected: str
) -> None:
    config = changed(config, "transcribe", device=transcribe)
    config = changed(config, "diarize", device=diarize, enabled=enabled)
    assert machine(config).gpu == expected


def test_a_card_that_works_has_nothing_but_good_findings(config: Config, gpu_root: FakeRoot) -> None:
    findings = gpu_findings(machine(wants_cuda(config), gpu_root))
    assert set(states([f for f in findings if f.name != "device filter"])) == {"ok"}
    assert [finding.name for finding in findings][:5] == [
        "card", "device nodes", "device filter", "driver", "GPU",
    ]  # fmt: skip


# ---- the card ------------------------------------------------------------------------------------


def test_cuda_without_a_card_is_a_failure(config: Config, root: FakeRoot) -> None:
    (finding,) = check_cards(machine(wants_cuda(config), root))
    assert finding.state == "failure"
    assert finding.remedy == 'Set transcribe.device to "auto" or "cpu"'


@pytest.mark.parametrize("driver", ["nouveau", "vfio-pci", None])
@pytest.mark.parametrize(("device", "state"), [("cuda", "failure"), ("auto", "warning")])
def test_a_card_without_nvidias_driver_is_told_with_its_remedy(
    config: Config, root: FakeRoot, driver: str | None, device: str, state: State
) -> None:
    root.add_pci_device(driver=driver)
    made = machine(changed(config, "transcribe", device=device), root)
    (finding,) = check_cards(made)
    assert (finding.state, bool(finding.remedy)) == (state, True)
    later = [found for found in gpu_findings(made) if found.name != "card"]
    assert {found.detail for found in later} == {"no card has NVIDIA's driver"}


def test_each_card_is_told(config: Config, root: FakeRoot) -> None:
    root.add_pci_device("0000:01:00.0")
    root.add_pci_device("0000:02:00.0", driver="vfio-pci")
    assert states(list(check_cards(machine(config, root)))) == ["ok", "warning"]


def test_a_card_that_only_its_nodes_tell_of_is_not_missed(config: Config, root: FakeRoot) -> None:
    root.add_nodes("dxg")
    made = machine(wants_cuda(config), root)
    assert states(list(check_cards(made))) == ["ok"]
    assert states(list(check_nodes(made))) == ["skipped"]
    assert states(list(check_driver(made))) == ["ok", "ok"]


# ---- the driver ----------------------------------------------------------------------------------


def driver_findings(config: Config, root: FakeRoot, **changes: Any) -> list[Finding]:
    return list(check_driver(machine(wants_cuda(config), root, **changes)))


def test_the_driver_and_its_cards_are_told(config: Config, gpu_root: FakeRoot) -> None:
    driver, gpu = driver_findings(config, gpu_root, nvml=FakeNvml([H200]))
    assert driver == Finding("driver", "ok", "driver 570.86.15 runs CUDA up to 12.8")
    assert gpu.detail == "NVIDIA H200 (cuda:0): compute capability 9.0, 149.3 of 149.3 GB free"


def test_a_driver_that_refuses_is_told_with_its_remedy(config: Config, gpu_root: FakeRoot) -> None:
    mismatch = FakeNvml(error=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
    (finding,) = driver_findings(config, gpu_root, nvml=mismatch)
    assert finding.state == "failure"
    assert "Restart the machine" in (finding.remedy or "")


def test_a_driver_too_old_for_a_new_card_is_a_failure(config: Config, gpu_root: FakeRoot) -> None:
    old = FakeNvml([H200], driver="550.54.14", cuda=12040)
    _, gpu = driver_findings(config, gpu_root, nvml=old)
    assert gpu.state == "failure"
    assert gpu.remedy == "Upgrade NVIDIA's driver to 570 or newer"


def test_a_card_too_old_for_the_engine_is_a_failure(config: Config, gpu_root: FakeRoot) -> None:
    _, gpu = driver_findings(config, gpu_root, nvml=FakeNvml([QUADRO_M4000]))
    assert gpu.state == "failure"
    assert "compute capability 5.2" in gpu.detail


def test_a_driver_that_runs_without_cuda_is_a_failure(config: Config, gpu_root: FakeRoot) -> None:
    ask = FakeEngines(replace(ENGINES, driver_error="cuInit: CUDA_ERROR_UNKNOWN", compute_types=[]))
    found = driver_findings(config, gpu_root, ask=ask)
    assert states(found) == ["ok", "failure", "ok"]
    assert found[1].detail == "CUDA does not start: cuInit: CUDA_ERROR_UNKNOWN"


def test_a_driver_without_cards_is_a_failure(config: Config, gpu_root: FakeRoot) -> None:
    assert states(driver_findings(config, gpu_root, nvml=FakeNvml([]))) == ["failure"]


# ---- device nodes --------------------------------------------------------------------------------


def node_findings(config: Config, root: FakeRoot, **changes: Any) -> list[Finding]:
    return list(check_nodes(machine(wants_cuda(config), root, **changes)))


def service(**properties: list[str]) -> FakeUnits:
    return FakeUnits(whisperd_service={"LoadState": ["loaded"], **properties})


@pytest.mark.parametrize("missing", NODES)
def test_each_missing_node_is_told_with_its_remedy(config: Config, gpu_root: FakeRoot, missing: str) -> None:
    (gpu_root.path / "dev" / missing).unlink()
    trouble = node_findings(config, gpu_root)[0]
    assert (trouble.state, trouble.detail) == ("failure", f"/dev/{missing} is missing")
    assert ("modprobe nvidia-uvm" in (trouble.remedy or "")) == (missing == "nvidia-uvm")


def test_nodes_that_the_user_may_not_open_are_told(config: Config, gpu_root: FakeRoot) -> None:
    (gpu_root.path / "dev/nvidia0").chmod(0o660)
    trouble = node_findings(config, gpu_root, user=NOBODY)[0]
    assert trouble.state == "failure"
    assert trouble.detail == "whisperd may not read and write /dev/nvidia0 (mode 660)"


def test_a_group_of_the_unit_opens_a_node(
    config: Config, gpu_root: FakeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = gpu_root.path / "dev/nvidia0"
    node.chmod(0o660)

    class Group:
        gr_name, gr_gid = "video", node.stat().st_gid

    monkeypatch.setattr("grp.getgrall", lambda: [Group()])
    unit = service(SupplementaryGroups=["video render"], DevicePolicy=["auto"])
    assert states(node_findings(config, gpu_root, user=NOBODY, unit=unit)) == ["ok", "ok"]


@pytest.mark.parametrize(
    ("mode", "uid_matches", "gid_matches", "may"),
    [
        (0o600, True, False, True),
        (0o066, True, False, False),
        (0o060, False, True, True),
        (0o606, False, True, False),
        (0o006, False, False, True),
        (0o640, False, False, False),
    ],
)
def test_only_the_first_class_of_the_mode_that_fits_counts(
    mode: int, uid_matches: bool, gid_matches: bool, may: bool
) -> None:
    uid = NOBODY.uid if uid_matches else 1
    gid = NOBODY.uid if gid_matches else 1
    status = os.stat_result((stat.S_IFCHR | mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))
    assert NOBODY.may(status, 0o6) is may


@pytest.mark.parametrize(
    ("properties", "state", "said"),
    [
        ({"DevicePolicy": ["auto"]}, "ok", "every device"),
        ({"DevicePolicy": ["closed"], "DeviceAllow": ["char-nvidia* rw"]}, "ok", "lets the daemon open"),
        ({"DevicePolicy": ["closed"], "DeviceAllow": ["/dev/nvidia* rw"]}, "failure", "/dev/nvidia0"),
        ({"DevicePolicy": ["closed"], "DeviceAllow": ["char-nvidia* r"]}, "failure", "/dev/nvidiactl"),
        ({"DevicePolicy": ["closed"]}, "failure", "/dev/nvidia-uvm"),
        (
            {"DevicePolicy": ["closed"], "DeviceAllow": [f"/dev/{node} rw" for node in NODES]},
            "ok",
            "lets the daemon open",
        ),
        (
            {"DevicePolicy": ["auto"], "DeviceAllow": ["char-nvidiactl rw", "char-nvidia rw"]},
            "failure",
            "may not open /dev/nvidia-uvm",
        ),
        ({"DevicePolicy": ["closed"], "PrivateDevices": ["yes"]}, "failure", "PrivateDevices=yes"),
    ],
)
def test_the_units_own_filter_is_read_as_systemd_reads_it(
    config: Config, gpu_root: FakeRoot, properties: dict[str, list[str]], state: State, said: str
) -> None:
    finding = node_findings(config, gpu_root, unit=service(**properties))[-1]
    assert (finding.name, finding.state) == ("device filter", state)
    assert said in finding.detail
    assert bool(finding.remedy) == (state == "failure")


def test_a_device_group_that_is_not_registered_matches_no_rule(config: Config, gpu_root: FakeRoot) -> None:
    (gpu_root.path / "proc/devices").write_text(DEVICES.replace("508 nvidia-uvm\n", ""))
    unit = service(DevicePolicy=["closed"], DeviceAllow=["char-nvidia* rw"])
    finding = node_findings(config, gpu_root, unit=unit)[-1]
    assert finding.detail == "whisperd.service may not open /dev/nvidia-uvm"
