"""The user that the daemon runs as, and what that user may do."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from whisperd.owner import SERVICE_USER

READ: Final = 0o4
READ_WRITE: Final = 0o6
MAKE_FILES: Final = 0o3
"""In a directory: write, and pass through."""


@dataclass(frozen=True, slots=True)
class User:
    """A user of this machine, by numbers."""

    name: str
    uid: int
    gids: frozenset[int]

    @classmethod
    def of_the_daemon(cls, state: Path) -> Self:
        """Whom the state directory belongs to; before there is one, the package's user where root asks.

        Otherwise it is whoever asks.
        """
        try:
            if state.exists():
                return cls._of_account(pwd.getpwuid(state.stat().st_uid))
            if os.geteuid() == 0:
                return cls._of_account(pwd.getpwnam(SERVICE_USER))
        except (PermissionError, KeyError):
            pass  # can't be seen from here, or no such account
        return cls._of_account(pwd.getpwuid(os.geteuid()))

    @classmethod
    def _of_account(cls, account: pwd.struct_passwd) -> Self:
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
        return cls(account.pw_name, account.pw_uid, frozenset(groups))

    def may(self, status: os.stat_result, wanted: int, more_gids: frozenset[int] = frozenset()) -> bool:
        """Whether the mode of a file grants `wanted`, as one octal digit."""
        if self.uid == 0:
            return True
        if status.st_uid == self.uid:
            granted = status.st_mode >> 6
        elif status.st_gid in self.gids | more_gids:
            granted = status.st_mode >> 3
        else:
            granted = status.st_mode
        return granted & wanted == wanted
