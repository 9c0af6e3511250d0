"""A machine with NVIDIA cards, as far as sysfs, /dev, /proc and NVML tell of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pynvml

from whisperd.cuda.answers import Engines
from whisperd.cuda.facts import Device

GIB = 2**30
CUDA_TYPES = ["bfloat16", "float16", "float32", "int8", "int8_bfloat16", "int8_float16", "int8_float32"]


def device(
    name: str = "NVIDIA GeForce RTX 3060",
    capability: tuple[int, int] = (8, 6),
    *,
    total: float = 12,
    free: float | None = None,
    types: Sequence[str] = CUDA_TYPES,
    index: int = 0,
) -> Device:
    """A card; memory in GiB."""
    return Device(
        index=index,
        name=name,
        capability=capability,
        total_bytes=int(total * GIB),
        free_bytes=int((total if free is None else free) * GIB),
        compute_types=frozenset(types),
    )


H200 = device("NVIDIA H200", (9, 0), total=139)
RTX_3060 = device()
GTX_1660 = device("NVIDIA GeForce GTX 1660", (7, 5), total=6)
GTX_1080 = device("NVIDIA GeForce GTX 1080", (6, 1), total=8, types=["float32", "int8", "int8_float32"])
TESLA_P100 = device("Tesla P100", (6, 0), total=16, types=["float32"])
QUADRO_M4000 = device("Quadro M4000", (5, 2), total=8, types=["float32"])


ENGINES = Engines(
    ctranslate2="4.8.5", ctranslate2_cuda=12, torch_cuda="12.8", compute_types=[CUDA_TYPES, CUDA_TYPES]
)


class FakeRoot:
    """A root directory under which the kernel's files lie."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add_pci_device(
        self,
        address: str = "0000:01:00.0",
        *,
        driver: str | None = "nvidia",
        vendor: str = "0x10de",
        kind: str = "0x030000",
    ) -> None:
        """A device on the bus; by default a graphics card with NVIDIA's driver."""
        directory = self.path / "sys/bus/pci/devices" / address
        directory.mkdir(parents=True)
        (directory / "vendor").write_text(vendor + "\n")
        (directory / "class").write_text(kind + "\n")
        if driver:
            target = self.path / "sys/bus/pci/drivers" / driver
            target.mkdir(parents=True, exist_ok=True)
            (directory / "driver").symlink_to(target)

    def load_module(self) -> None:
        """NVIDIA's kernel module is loaded."""
        (self.path / "sys/module/nvidia").mkdir(parents=True)

    def install_module(self) -> None:
        """NVIDIA's kernel module is there for the running kernel."""
        directory = self.path / "lib/modules" / os.uname().release
        directory.mkdir(parents=True)
        (directory / "modules.dep").write_text("updates/dkms/nvidia.ko.xz: kernel/drivers/video.ko.xz\n")

    def add_nodes(self, *names: str, mode: int = 0o666) -> None:
        """Device nodes; ordinary files do, since their type is not looked at."""
        (self.path / "dev").mkdir(parents=True, exist_ok=True)
        for name in names:
            node = self.path / "dev" / name
            node.touch()
            node.chmod(mode)


@dataclass(frozen=True)
class _Handle:
    device: Device
    uuid: str
    whole: "_Handle | None" = None


@dataclass
class _Memory:
    total: int
    free: int


@dataclass
class _Process:
    pid: int
    usedGpuMemory: int | None  # noqa: N815 - NVML's name


@dataclass
class FakeNvml:
    """pynvml's functions over made-up cards. `error` is NVML's code when it can't be initialized."""

    devices: Sequence[Device] = (RTX_3060,)
    error: int | None = None
    driver: str = "570.86.15"
    cuda: int = 12080
    slices: dict[str, Device] = field(default_factory=dict)
    """MIG instances of the first card, by UUID."""
    held: dict[int, int] = field(default_factory=dict)
    """Bytes of memory that processes hold on the first card, by their ids."""
    shut_down: bool = False

    NVMLError = pynvml.NVMLError

    def __post_init__(self) -> None:
        self._handles = [_Handle(card, f"GPU-{number}aaa-bbb") for number, card in enumerate(self.devices)]

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's names
        if self.error is not None:
            raise pynvml.NVMLError(self.error)

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.shut_down = True

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return self.driver

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        return self.cuda

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self._handles)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> _Handle:  # noqa: N802
        return self._handles[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> _Handle:  # noqa: N802
        if uuid not in self.slices:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return _Handle(self.slices[uuid], uuid, self._handles[0])

    def nvmlDeviceGetUUID(self, handle: _Handle) -> str:  # noqa: N802
        return handle.uuid

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: _Handle) -> _Handle:  # noqa: N802
        if handle.whole is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return handle.whole

    def nvmlDeviceGetName(self, handle: _Handle) -> str:  # noqa: N802
        return handle.device.name

    def nvmlDeviceGetCudaComputeCapability(self, handle: _Handle) -> tuple[int, int]:  # noqa: N802
        if handle.whole is not None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return handle.device.capability

    def nvmlDeviceGetMemoryInfo(self, handle: _Handle) -> _Memory:  # noqa: N802
        return _Memory(handle.device.total_bytes, handle.device.free_bytes)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: _Handle) -> list[_Process]:  # noqa: N802
        if handle is not self._handles[0]:
            return []
        return [_Process(pid, held or None) for pid, held in self.held.items()]


def numbered(*cards: Device) -> tuple[Device, ...]:
    """The cards with the numbers that CUDA would give them."""
    return tuple(replace(card, index=index) for index, card in enumerate(cards))
