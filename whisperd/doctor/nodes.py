"""The device nodes by which a process reaches its GPU: there, open to the user, let through by the unit."""

import grp
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from whisperd.doctor.finding import Finding
from whisperd.doctor.machine import Machine
from whisperd.doctor.user import READ_WRITE

_MAKE: Final = {
    # The daemon can't load it as CUDA would, with a program that is setuid root: its unit forbids that.
    "nvidia-uvm": "Run modprobe nvidia-uvm, then nvidia-modprobe -c 0 -u",
}


def check_nodes(machine: Machine) -> Iterator[Finding]:
    """Each device node that CUDA opens."""
    directory = machine.root / "dev"
    if not machine.cards:
        yield Finding("device nodes", "skipped", "no card on the bus whose nodes could be looked for")
        return
    numbered = sorted(node.name for node in directory.glob("nvidia[0-9]*"))
    names = ["nvidiactl", *(numbered or ["nvidia0"]), "nvidia-uvm"]
    troubles = [found for name in names if (found := _check_node(machine, directory / name))]
    yield from troubles
    if not troubles:
        listed = ", ".join(f"/dev/{name}" for name in names)
        yield Finding("device nodes", "ok", f"{machine.user.name} may read and write {listed}")
    yield from _check_filter(machine, names)


def _check_node(machine: Machine, node: Path) -> Finding | None:
    name = "device nodes"
    try:
        status = node.stat()
    except OSError:
        remedy = _MAKE.get(node.name, "Run nvidia-modprobe -c 0, or start nvidia-persistenced")
        return Finding(name, machine.gpu_trouble, f"/dev/{node.name} is missing", remedy)
    if machine.user.may(status, READ_WRITE, _unit_groups(machine)):
        return None
    return Finding(
        name,
        machine.gpu_trouble,
        f"{machine.user.name} may not read and write /dev/{node.name} (mode {status.st_mode & 0o777:o})",
        f"Put {machine.user.name} into the group that may, or see NVreg_DeviceFileMode in /etc/modprobe.d",
    )


def _unit_groups(machine: Machine) -> frozenset[int]:
    """The groups that the unit adds to the user's own."""
    wanted = " ".join(machine.service.get("SupplementaryGroups", [])).split()
    return frozenset(group.gr_gid for group in grp.getgrall() if group.gr_name in wanted)


def _check_filter(machine: Machine, names: list[str]) -> Iterator[Finding]:
    """Whether the unit's own filter lets the daemon open what its user may."""
    name = "device filter"
    if not machine.service:
        yield Finding(name, "skipped", "systemd knows no whisperd.service here")
        return
    if machine.service.get("PrivateDevices") == ["yes"]:
        yield Finding(
            name,
            machine.gpu_trouble,
            "whisperd.service has PrivateDevices=yes, which hides every GPU",
            "Set PrivateDevices=no with systemctl edit whisperd",
        )
        return
    rules = machine.service.get("DeviceAllow", [])
    if machine.service.get("DevicePolicy") == ["auto"] and not rules:
        yield Finding(name, "ok", "whisperd.service may open every device")
        return
    groups = _device_groups(machine.root)
    shut_out = [
        f"/dev/{node}" for node in names if not any(_lets_through(rule, node, groups) for rule in rules)
    ]
    if shut_out:
        yield Finding(
            name,
            machine.gpu_trouble,
            f"whisperd.service may not open {', '.join(shut_out)}",
            "Add DeviceAllow=char-nvidia* rw with systemctl edit whisperd, and have nvidia-uvm loaded before",
        )
    else:
        yield Finding(name, "ok", "whisperd.service lets the daemon open them")


def _lets_through(rule: str, node: str, groups: set[str]) -> bool:
    """A rule is a path, taken literally, or a pattern for the names of character devices in /proc/devices."""
    pattern, _, access = rule.partition(" ")
    if not {"r", "w"} <= set(access):
        return False
    if pattern == f"/dev/{node}":
        return True
    own = {"nvidia-uvm"} if node == "nvidia-uvm" else {"nvidia", "nvidia-frontend", "nvidiactl"}
    return any(fnmatch(f"char-{group}", pattern) for group in own & groups)


def _device_groups(root: Path) -> set[str]:
    try:
        table = (root / "proc/devices").read_text(encoding="ascii")
    except OSError:
        return set()
    characters = table.partition("Block devices:")[0]
    return {line.split()[1] for line in characters.splitlines() if line[:1].isspace() or line[:1].isdigit()}
