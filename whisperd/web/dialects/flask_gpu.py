"""The GPU's memory, as the Flask transcriber tells of it: sizes in MiB and GiB under their old names."""

import asyncio
import os
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from whisperd.cuda import nvml
from whisperd.protocol import Kind
from whisperd.status import Status, WorkerStatus

_MIB: Final = 2**20
_GIB: Final = 2**30


class MemoryJson(Struct, frozen=True, kw_only=True):
    """A card's memory; without a GPU there is no key."""

    gpu_name: str | UnsetType = UNSET
    total_mb: int | UnsetType = UNSET
    total_gb: float | UnsetType = UNSET
    used_mb: int | UnsetType = UNSET
    used_gb: float | UnsetType = UNSET
    free_mb: int | UnsetType = UNSET
    free_gb: float | UnsetType = UNSET
    usage_percent: float | UnsetType = UNSET


class ProcessJson(Struct, frozen=True, kw_only=True):
    """One of the service's processes on the GPU."""

    pid: int
    name: str
    vram_mb: int
    vram_gb: float
    command: str


class GpuJson(Struct, frozen=True, kw_only=True):
    """The GPU, and what the service holds on it."""

    memory: MemoryJson
    processes: list[ProcessJson]
    process_count: int
    process_vram_mb: int
    process_vram_gb: float
    available: bool
    whisper_models_loaded: int
    diarization_loaded: bool


async def read_gpu(status: Status) -> GpuJson:
    """The first card, and what the service's workers hold."""
    reading, held = await asyncio.to_thread(lambda: (nvml.read(os.environ), nvml.processes(os.environ)))
    processes = sorted(
        (_process(worker, held[worker.pid]) for worker in status.workers if worker.pid in held),
        key=lambda process: -process.vram_mb,
    )
    ours = sum(held.get(worker.pid or 0, 0) for worker in status.workers)
    memory = MemoryJson()
    if reading.devices:
        card = reading.devices[0]
        used = card.total_bytes - card.free_bytes
        memory = MemoryJson(
            gpu_name=card.name,
            total_mb=card.total_bytes // _MIB,
            total_gb=round(card.total_bytes / _GIB, 2),
            used_mb=used // _MIB,
            used_gb=round(used / _GIB, 2),
            free_mb=card.free_bytes // _MIB,
            free_gb=round(card.free_bytes / _GIB, 2),
            usage_percent=round(100 * used / card.total_bytes, 1),
        )
    return GpuJson(
        memory=memory,
        processes=processes,
        process_count=len(processes),
        process_vram_mb=ours // _MIB,
        process_vram_gb=round(ours / _GIB, 2),
        available=bool(reading.devices),
        whisper_models_loaded=len(loaded(status, "transcribe")),
        diarization_loaded=bool(loaded(status, "diarize")),
    )


def _process(worker: WorkerStatus, held: int) -> ProcessJson:
    return ProcessJson(
        pid=worker.pid or 0,
        name=f"whisperd ({worker.kind})",
        vram_mb=held // _MIB,
        vram_gb=round(held / _GIB, 2),
        command=f"{worker.kind} {worker.model or ''}".strip(),
    )


def loaded(status: Status, kind: Kind) -> list[WorkerStatus]:
    """Workers of a kind whose model is in memory."""
    return [worker for worker in status.workers if worker.kind == kind and worker.state == "ready"]


class VramJson(Struct, frozen=True, kw_only=True):
    """What diarization holds on the GPU."""

    available: bool
    device_name: str | UnsetType = UNSET
    allocated_gb: float | UnsetType = UNSET
    reserved_gb: float | UnsetType = UNSET
    model_loaded: bool | UnsetType = UNSET


async def read_vram(status: Status) -> VramJson:
    """What the diarization worker holds."""
    worker = status.worker("diarize")
    if worker is None or not (worker.device or "").startswith("cuda"):
        return VramJson(available=False)
    held = await asyncio.to_thread(nvml.processes, os.environ)
    gigabytes = round(held.get(worker.pid or 0, 0) / _GIB, 2)
    return VramJson(
        available=True,
        device_name=worker.device_name or UNSET,
        allocated_gb=gigabytes,
        reserved_gb=gigabytes,
        model_loaded=worker.state == "ready",
    )
