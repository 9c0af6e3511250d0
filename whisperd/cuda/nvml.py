"""The cards as NVIDIA's management library tells them: without CUDA, and without memory on a card."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from whisperd.cuda.facts import Device, Obstacle

_NO_PERMISSION: Final = 4
_DRIVER_NOT_LOADED: Final = 9
_LIBRARY_NOT_FOUND: Final = 12
_VERSION_MISMATCH: Final = 18

_MEANINGS: Final = {
    _NO_PERMISSION: Obstacle(
        "the user that runs this may not open /dev/nvidiactl",
        "Let that user, or a group of its own, read and write /dev/nvidia*",
    ),
    _DRIVER_NOT_LOADED: Obstacle("the kernel module nvidia is not loaded", "Run modprobe nvidia"),
    _LIBRARY_NOT_FOUND: Obstacle(
        "the driver's library libnvidia-ml.so.1 is not installed",
        "Install the whole of NVIDIA's driver (Debian: nvidia-driver or nvidia-smi)",
    ),
    _VERSION_MISMATCH: Obstacle(
        "the loaded kernel module and the driver's libraries are of different versions",
        "Restart the machine: the driver was upgraded since it started",
    ),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """The cards that CUDA will see, and their driver; or why there is none."""

    devices: tuple[Device, ...] = ()
    driver: str | None = None
    cuda: tuple[int, int] | None = None
    obstacle: Obstacle | None = None


def read(environ: Mapping[str, str], nvml: Any = None) -> Reading:
    """Ask NVML. CUDA_VISIBLE_DEVICES is heeded, since it renumbers the cards for CUDA."""
    nvml = nvml or _library()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Reading(obstacle=_meaning(error))
    try:
        version = nvml.nvmlSystemGetCudaDriverVersion_v2()
        handles = _visible(list(_handles(nvml)), environ.get("CUDA_VISIBLE_DEVICES"), nvml)
        devices = tuple(_device(nvml, index, handle) for index, handle in enumerate(handles))
        obstacle = None
        if not devices and "CUDA_VISIBLE_DEVICES" in environ:
            obstacle = Obstacle("CUDA_VISIBLE_DEVICES hides every card", "Set it otherwise, or not at all")
        elif not devices:
            obstacle = Obstacle("NVIDIA's driver runs, but drives no card", "See journalctl -k -g NVRM")
        cuda = (version // 1000, version % 1000 // 10)
        return Reading(devices, nvml.nvmlSystemGetDriverVersion(), cuda, obstacle)
    except nvml.NVMLError as error:
        return Reading(obstacle=_meaning(error))
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def processes(environ: Mapping[str, str], nvml: Any = None) -> dict[int, int]:
    """Bytes each process holds on the cards for CUDA, by its id; empty where NVML can't tell."""
    nvml = nvml or _library()
    held: dict[int, int] = {}
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return held
    with contextlib.suppress(nvml.NVMLError):
        for handle in _visible(list(_handles(nvml)), environ.get("CUDA_VISIBLE_DEVICES"), nvml):
            for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                held[process.pid] = held.get(process.pid, 0) + (process.usedGpuMemory or 0)
    with contextlib.suppress(nvml.NVMLError):
        nvml.nvmlShutdown()
    return held


def _library() -> Any:
    # Imported here because it costs memory that a machine without a card need not spend.
    import pynvml

    return pynvml


def _meaning(error: Any) -> Obstacle:
    return _MEANINGS.get(error.value) or Obstacle(
        f"NVIDIA's driver answers: {error}", "See the kernel's log (journalctl -k -g NVRM)"
    )


def _handles(nvml: Any) -> Iterator[Any]:
    for number in range(nvml.nvmlDeviceGetCount()):
        yield nvml.nvmlDeviceGetHandleByIndex(number)


def _visible(handles: list[Any], variable: str | None, nvml: Any) -> list[Any]:
    """The cards that CUDA_VISIBLE_DEVICES leaves, in its order; CUDA stops at an entry that names none."""
    if variable is None:
        return handles
    chosen: list[Any] = []
    for entry in variable.split(","):
        wanted = entry.strip()
        if wanted.isdecimal():
            matches = handles[int(wanted) : int(wanted) + 1]
        elif wanted.startswith("MIG-"):
            matches = _slice_of_a_card(wanted, nvml)
        else:
            matches = [h for h in handles if wanted and nvml.nvmlDeviceGetUUID(h).startswith(wanted)]
        if len(matches) != 1:
            break
        chosen += matches
    return chosen


def _slice_of_a_card(uuid: str, nvml: Any) -> list[Any]:
    try:
        return [nvml.nvmlDeviceGetHandleByUUID(uuid)]
    except nvml.NVMLError:
        return []


def _device(nvml: Any, index: int, handle: Any) -> Device:
    try:
        whole = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    except nvml.NVMLError:
        whole = handle  # it is a card and no slice of one
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Device(
        index=index,
        name=nvml.nvmlDeviceGetName(handle),
        capability=tuple(nvml.nvmlDeviceGetCudaComputeCapability(whole)),
        total_bytes=memory.total,
        free_bytes=memory.free,
    )
