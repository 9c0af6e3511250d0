"""Files that hold secrets: readable for the daemon, and not for everybody."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from whisperd.config.kinds import SecretFile
from whisperd.config.schema import OPTIONS
from whisperd.config.secret import located
from whisperd.doctor.finding import Finding
from whisperd.doctor.machine import Machine
from whisperd.doctor.user import READ


def check_secrets(machine: Machine) -> Iterator[Finding]:
    """Each option that names one."""
    for option in OPTIONS.values():
        path = option.of(machine.config)
        if SecretFile in get_args(option.kind) and isinstance(path, Path):
            yield _check(machine, f"secret {option.path}", path)


def _check(machine: Machine, name: str, path: Path) -> Finding:
    file = located(path)
    if file is None:
        return Finding(name, "skipped", f"{path} is for the service alone to look at")
    try:
        status = file.stat()
    except OSError as error:
        return Finding(name, "failure", f"{path}: {error.strerror}", "Write it, or set the option to none")
    user = machine.user.name
    if not machine.user.may(status, READ):
        return Finding(
            name, "failure", f"{path} can't be read by {user}", f"chgrp {user} {path} and chmod 640 {path}"
        )
    if status.st_mode & stat.S_IROTH:
        return Finding(
            name, "warning", f"{path} can be read by everybody", f"chgrp {user} {path} and chmod 640 {path}"
        )
    return Finding(name, "ok", f"{path} is {user}'s to read")
