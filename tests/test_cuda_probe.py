"""What is found out about the machine's cards: from the bus, from NVML, from the engines."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pynvml
import pytest
from fake_nvidia import CUDA_TYPES, ENGINES, GTX_1080, H200, RTX_3060, FakeNvml, FakeRoot, device
from msgspec.structs import replace

from whisperd.config.schema import Cuda
from whisperd.cuda import bus, nvml
from whisperd.cuda.answers import Engines
from whisperd.cuda.child import ChildFailed
from whisperd.cuda.facts import Facts
from whisperd.cuda.probe import NO_CARD, probe


@pytest.fixture
def root(tmp_path: Path) -> FakeRoot:
    return FakeRoot(tmp_path)


def probed(root: FakeRoot, library: FakeNvml, answer: Engines | ChildFailed = ENGINES) -> Facts:
    def engines(_: Mapping[str, str]) -> Engines:
        if isinstance(answer, ChildFailed):
            raise answer
        return answer

    return probe(Cuda(), {}, cache=root.path, root=root.path, library=library, engines=engines)


# ---- the bus -------------------------------------------------------------------------------------


def test_cards_are_nvidias_display_devices_and_nothing_else(root: FakeRoot) -> None:
    root.add_pci_device("0000:01:00.0")
    root.add_pci_device("0000:01:00.1", kind="0x040300", driver="snd_hda_intel")
    root.add_pci_device("0000:02:00.0", kind="0x030200", driver=None)
    root.add_pci_device("0000:03:00.0", vendor="0x8086", driver="i915")
    assert bus.cards(root.path) == [bus.Card("0000:01:00.0", "nvidia"), bus.Card("0000:02:00.0", None)]


def test_a_machine_without_a_bus_has_no_cards(root: FakeRoot) -> None:
    assert bus.cards(root.path) == []
    assert not bus.visible(root.path)


def test_a_card_without_a_bus_is_told_by_its_device_nodes(root: FakeRoot) -> None:
    root.add_nodes("nvidiactl")
    assert bus.visible(root.path)


@pytest.mark.parametrize(
    ("driver", "module", "reason", "remedy"),
    [
        ("nouveau", None, "bound to nouveau", "Install NVIDIA's driver"),
        ("vfio-pci", None, "bound to vfio-pci", "/etc/modprobe.d"),
        ("nvidiafb", None, "bound to nvidiafb", "Install NVIDIA's driver"),
        (None, None, "no kernel module nvidia for the running kernel", "Install NVIDIA's driver"),
        (None, "installed", "installed, but not loaded", "modprobe nvidia"),
        (None, "loaded", "is loaded, but does not take", "NVRM"),
    ],
)
def test_each_obstacle_between_card_and_driver_has_its_remedy(
    root: FakeRoot, driver: str | None, module: str | None, reason: str, remedy: str
) -> None:
    root.add_pci_device(driver=driver)
    if module:
        root.install_module()
    if module == "loaded":
        root.load_module()
    (card,) = bus.cards(root.path)
    found = bus.obstacle(card, root.path)
    assert found is not None
    assert reason in found.reason
    assert "0000:01:00.0" in found.reason
    assert remedy in found.remedy


def test_nothing_stands_between_a_card_and_nvidias_driver(root: FakeRoot) -> None:
    root.add_pci_device()
    (card,) = bus.cards(root.path)
    assert bus.obstacle(card, root.path) is None


# ---- NVML ----------------------------------------------------------------------------------------


def test_nvml_tells_cards_and_driver() -> None:
    library = FakeNvml([H200, RTX_3060])
    reading = nvml.read({}, library)
    assert [(card.index, card.name, card.capability) for card in reading.devices] == [
        (0, "NVIDIA H200", (9, 0)),
        (1, "NVIDIA GeForce RTX 3060", (8, 6)),
    ]
    assert reading.devices[0].free_bytes == H200.free_bytes
    assert (reading.driver, reading.cuda) == ("570.86.15", (12, 8))
    assert library.shut_down


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("1", ["NVIDIA GeForce RTX 3060"]),
        ("2,0", ["NVIDIA GeForce GTX 1080", "NVIDIA H200"]),
        ("GPU-1aaa", ["NVIDIA GeForce RTX 3060"]),
        ("0,7,1", ["NVIDIA H200"]),
        ("GPU-", []),
        ("", []),
        ("MIG-unknown", []),
        ("MIG-1g", ["NVIDIA H200 MIG 1g.18gb"]),
    ],
)
def test_cards_are_numbered_as_cuda_will_number_them(variable: str, expected: list[str]) -> None:
    part = device("NVIDIA H200 MIG 1g.18gb", total=16)
    library = FakeNvml([H200, RTX_3060, GTX_1080], slices={"MIG-1g": part})
    reading = nvml.read({"CUDA_VISIBLE_DEVICES": variable}, library)
    assert [card.name for card in reading.devices] == expected
    assert [card.index for card in reading.devices] == list(range(len(expected)))
    assert (reading.obstacle is None) == bool(expected)


def test_a_slice_of_a_card_has_the_capability_of_the_card_and_memory_of_its_own() -> None:
    part = device("NVIDIA H200 MIG 1g.18gb", total=16)
    reading = nvml.read({"CUDA_VISIBLE_DEVICES": "MIG-1g"}, FakeNvml([H200], slices={"MIG-1g": part}))
    assert (reading.devices[0].capability, reading.devices[0].total_bytes) == ((9, 0), part.total_bytes)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "libnvidia-ml.so.1 is not installed"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "is not loaded"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "of different versions"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "may not open"),
        (pynvml.NVML_ERROR_GPU_IS_LOST, "GPU is lost"),
    ],
)
def test_each_refusal_of_nvml_is_told_in_words(code: int, reason: str) -> None:
    reading = nvml.read({}, FakeNvml(error=code))
    assert reading.devices == ()
    assert reading.obstacle is not None
    assert reason in reading.obstacle.reason


def test_a_driver_without_cards_is_an_obstacle() -> None:
    reading = nvml.read({}, FakeNvml([]))
    assert reading.obstacle is not None
    assert "drives no card" in reading.obstacle.reason


# ---- all together --------------------------------------------------------------------------------


def test_without_a_card_nobody_is_asked(root: FakeRoot) -> None:
    class Untouchable(FakeNvml):
        def nvmlInit(self) -> None:  # noqa: N802 - NVML's name
            raise AssertionError

    assert probed(root, Untouchable()) == Facts(obstacle=NO_CARD)


def test_a_machine_without_a_card_does_not_even_load_what_would_ask(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from whisperd.config.schema import Cuda;"
        "from whisperd.cuda.probe import probe; from whisperd.cuda.environment import worker_environment;"
        f"here = Path({str(tmp_path)!r}); probe(Cuda(), {{}}, cache=here, root=here);"
        "worker_environment(Cuda(), {}, 'cpu', cache=here);"
        "print(*{'pynvml', 'importlib.metadata'} & sys.modules.keys())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_the_engines_word_on_compute_types_comes_to_each_card(root: FakeRoot) -> None:
    root.add_pci_device()
    answer = replace(ENGINES, compute_types=[CUDA_TYPES, ["float32"]])
    facts = probed(root, FakeNvml([RTX_3060, GTX_1080]), answer)
    assert facts.obstacle is None
    assert [card.compute_types for card in facts.devices] == [frozenset(CUDA_TYPES), {"float32"}]
    assert (facts.driver, facts.cuda, facts.torch_cuda) == ("570.86.15", (12, 8), "12.8")


def test_a_card_that_the_engine_does_not_see_has_no_compute_types(root: FakeRoot) -> None:
    root.add_pci_device()
    facts = probed(root, FakeNvml([RTX_3060, GTX_1080]), replace(ENGINES, compute_types=[CUDA_TYPES]))
    assert [len(card.compute_types) for card in facts.devices] == [len(CUDA_TYPES), 0]


def test_the_bus_explains_what_nvml_only_refuses(root: FakeRoot) -> None:
    root.add_pci_device(driver="nouveau")
    facts = probed(root, FakeNvml(error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    assert facts.obstacle is not None
    assert "nouveau" in facts.obstacle.reason


def test_a_card_with_its_driver_leaves_the_word_to_nvml(root: FakeRoot) -> None:
    root.add_pci_device()
    facts = probed(root, FakeNvml(error=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
    assert facts.obstacle is not None
    assert "Restart the machine" in facts.obstacle.remedy


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            replace(ENGINES, cublas_error="/opt/x/lib/libcublas.so.12: file too short"),
            "cuBLAS can't be loaded (libcublas.so.12: file too short)",
        ),
        (replace(ENGINES, driver_error="cuInit: CUDA_ERROR_NO_DEVICE"), "(cuInit: CUDA_ERROR_NO_DEVICE)"),
        (ChildFailed("was killed by SIGSEGV"), "CTranslate2 can't be asked: was killed by SIGSEGV"),
    ],
)
def test_what_the_engines_lack_is_an_obstacle_that_names_no_path(
    root: FakeRoot, answer: Engines | ChildFailed, reason: str
) -> None:
    root.add_pci_device()
    facts = probed(root, FakeNvml(), answer)
    assert facts.obstacle is not None
    assert reason in facts.obstacle.reason
    assert len(facts.devices) == 1


# ---- who holds memory ----------------------------------------------------------------------------


def test_what_processes_hold_is_told_by_their_ids() -> None:
    library = FakeNvml(held={12: 5, 13: 0})
    assert nvml.processes({}, library) == {12: 5, 13: 0}
    assert library.shut_down


def test_what_processes_hold_on_hidden_cards_is_not_told() -> None:
    assert nvml.processes({"CUDA_VISIBLE_DEVICES": ""}, FakeNvml(held={12: 5})) == {}


@pytest.mark.parametrize("error", [4, 9, 12, 18])
def test_without_a_driver_no_process_holds_anything(error: int) -> None:
    assert nvml.processes({}, FakeNvml(error=error, held={12: 5})) == {}
