"""What systemd says of a unit."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from typing import Final

Properties = Mapping[str, list[str]]
"""By name; a property that is a list has each of its entries."""
Show = Callable[[str], Properties]

SERVICE: Final = "whisperd.service"
SOCKET: Final = "whisperd.socket"

_PROPERTIES: Final = "LoadState,ActiveState,PrivateDevices,DevicePolicy,DeviceAllow,SupplementaryGroups"
_TIMEOUT_S: Final = 10.0


def show(unit: str) -> Properties:
    """The unit's properties; none where systemd does not answer, or knows no such unit."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return {}
    command = [systemctl, "show", unit, f"--property={_PROPERTIES}"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return {}
    properties: dict[str, list[str]] = {}
    for line in asked.stdout.splitlines():
        name, _, value = line.partition("=")
        properties.setdefault(name, []).append(value)
    return properties if properties.get("LoadState") == ["loaded"] else {}
