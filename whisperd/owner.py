"""Writing to the state directory as the user whom it belongs to: the service's, as a rule.

What root wrote there the daemon could not replace, and perhaps not even read.
"""

import os
import pwd
from pathlib import Path
from typing import Final

from whisperd.errors import WhisperdError

SERVICE_USER: Final = "whisperd"


def act_as_owner(state: Path) -> None:
    """Become, for the rest of this process, the owner of `state`; make it when it does not exist.

    Only root can become somebody else. Raises WhisperdError for anybody who may not write there.
    """
    try:
        if not state.exists():
            _make(state)
        if os.geteuid() == 0:
            _become(state.stat())
    except OSError as error:
        hint = "; run this with sudo" if isinstance(error, PermissionError) else ""
        raise WhisperdError(f"can't write {error.filename or state}: {error.strerror}{hint}") from error
    if not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        owner = _name(state.stat().st_uid)
        raise WhisperdError(f"{state} belongs to {owner}: run this with sudo, or as {owner}")


def _make(state: Path) -> None:
    state.mkdir(parents=True, exist_ok=True, mode=0o750)
    if os.geteuid() == 0:
        try:
            service = pwd.getpwnam(SERVICE_USER)
        except KeyError:
            return  # not an installed service: root's own, then
        os.chown(state, service.pw_uid, service.pw_gid)


def _become(owner: os.stat_result) -> None:
    if owner.st_uid == 0:
        return
    try:
        user = pwd.getpwuid(owner.st_uid)
    except KeyError:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.environ["HOME"] = "/"
    else:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.environ |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    os.setuid(owner.st_uid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user with number {uid}"
