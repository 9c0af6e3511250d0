"""The environment that a worker is started with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from whisperd.config.schema import Cuda
from whisperd.cuda.libraries import library_dirs, library_path, wheels
from whisperd.cuda.mapped import CHOSEN_VARIABLE

# The daemon's talks with systemd, its configuration and its token for the hub are no business of a process
# that parses what strangers send.
_WITHHELD: Final = ("CREDENTIALS_DIRECTORY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "NOTIFY_SOCKET")
_WITHHELD_PREFIXES: Final = ("LISTEN_", "WATCHDOG_", "WHISPERD_")


def worker_environment(
    cuda: Cuda, environ: Mapping[str, str], device: Literal["cpu", "cuda"], *, cache: Path, threads: int = 1
) -> dict[str, str]:
    """The environment of a worker on `device`, made from the daemon's own.

    `cache` is a directory that lasts from start to start. What speeds a worker up can be set otherwise in the
    daemon's environment; what keeps it from talking to the internet can't.
    """
    passed_on = {
        name: value
        for name, value in environ.items()
        if name not in _WITHHELD and not name.startswith(_WITHHELD_PREFIXES)
    }
    made = {
        # Each job has `threads`; the pools of OpenMP and OpenBLAS would take every core for each of them.
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",
        # A thread that waits at a barrier sleeps: spinning takes half a shared core from its neighbour.
        "OMP_WAIT_POLICY": "PASSIVE",
        # pyannote.audio imports matplotlib, which lists all fonts at each start if it can't keep the list.
        "MPLCONFIGDIR": str(cache / "matplotlib"),
        **(_for_a_card(cache) if device == "cuda" else {}),
        **passed_on,
        # Models are installed beforehand: a missing one is an error and not a download.
        "HF_HUB_OFFLINE": "1",
        # pyannote.audio reports lengths of recordings and numbers of speakers to its makers by default.
        "PYANNOTE_METRICS_ENABLED": "0",
        # ONNX Runtime, which detects speech, collects events in a home directory, to be sent to its makers.
        "ORT_DISABLE_TELEMETRY": "1",
    }
    if device == "cuda":
        chosen = [*cuda.library_dirs, *library_dirs(wheels())]
        made["LD_LIBRARY_PATH"] = library_path(chosen, environ.get("LD_LIBRARY_PATH"))
        made[CHOSEN_VARIABLE] = ":".join(map(str, chosen))
    return made


def _for_a_card(cache: Path) -> dict[str, str]:
    return {
        # CUDA's own order is fastest first; NVML's, by which the card was chosen, is this one.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        # For cards newer than CTranslate2's machine code the driver compiles it anew: only once, if it can
        # keep the result. Its usual place is in a home directory, which a service does not have.
        "CUDA_CACHE_PATH": str(cache / "cuda"),
        # torch and CTranslate2 hold separate pools on one card, so torch's must not fragment and grow.
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    }
