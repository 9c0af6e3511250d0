"""NVIDIA's cards on the PCI bus, and what stands between one and its driver, as sysfs tells it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whisperd.cuda.facts import Obstacle

_NVIDIA: Final = "0x10de"
_DISPLAY: Final = "0x03"
_INSTALL: Final = (
    "Install NVIDIA's driver (Debian: apt install nvidia-driver, from non-free; "
    "Ubuntu: ubuntu-drivers install) and restart the machine"
)


@dataclass(frozen=True, slots=True)
class Card:
    """A graphics or compute card."""

    address: str
    driver: str | None
    """The kernel driver that it is bound to."""

    def __str__(self) -> str:
        return f"the NVIDIA card at {self.address}"


def cards(root: Path = Path("/")) -> list[Card]:
    """The cards, by address; `root` is where sysfs is looked for."""
    return [
        Card(device.name, driver.readlink().name if (driver := device / "driver").is_symlink() else None)
        for device in sorted((root / "sys/bus/pci/devices").glob("*"))
        if _read(device / "vendor") == _NVIDIA and _read(device / "class").startswith(_DISPLAY)
    ]


def visible(root: Path = Path("/")) -> bool:
    """Whether it is worth asking the driver: a card on the bus, or the device nodes of one that is not."""
    return bool(cards(root)) or any((root / "dev" / node).exists() for node in ("nvidiactl", "dxg"))


def obstacle(card: Card, root: Path = Path("/")) -> Obstacle | None:
    """What keeps NVIDIA's driver from the card; None when it has it."""
    match card.driver:
        case "nvidia":
            return None
        case "nouveau":
            return Obstacle(f"{card} is bound to nouveau, which does not do CUDA", _INSTALL)
        case "vfio-pci":
            return Obstacle(
                f"{card} is bound to vfio-pci, that is, kept for a virtual machine",
                "Take its ids out of the vfio-pci options in /etc/modprobe.d and on the kernel's command "
                "line, then restart the machine",
            )
        case str(other):
            return Obstacle(f"{card} is bound to {other} and not to NVIDIA's driver", _INSTALL)
    if (root / "sys/module/nvidia").exists():
        return Obstacle(
            f"the kernel module nvidia is loaded, but does not take {card}",
            "See the kernel's log (journalctl -k -g NVRM): the card may be too old for this driver, "
            "or have fallen off the bus",
        )
    if _module_installed(root):
        return Obstacle(
            f"{card} has no driver: the kernel module nvidia is installed, but not loaded",
            "Run modprobe nvidia; if it is refused, Secure Boot may not know the module's key "
            "(mokutil --sb-state)",
        )
    return Obstacle(
        f"{card} has no driver: there is no kernel module nvidia for the running kernel", _INSTALL
    )


def _module_installed(root: Path) -> bool:
    directory = root / "lib/modules" / os.uname().release
    names = _read(directory / "modules.dep").splitlines()
    return any(line.partition(":")[0].rpartition("/")[2].startswith("nvidia") for line in names)


def _read(path: Path) -> str:
    """A small file's text; empty when it can't be read, as under the unit's protection of kernel modules."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
