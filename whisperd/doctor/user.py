"""The user that the daemon runs as, and what that user may do."""

import os
import pwd
from dataclasses import dataclass
from typing import Final, Self

from whisperd.models.owner import SERVICE_USER

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
    def of_the_daemon(cls) -> Self:
        """The package's user where root asks and there is one; otherwise whoever asks."""
        if os.geteuid() == 0:
            try:
                account = pwd.getpwnam(SERVICE_USER)
            except KeyError:
                pass  # not installed as a package
            else:
                groups = os.getgrouplist(account.pw_name, account.pw_gid)
                return cls(account.pw_name, account.pw_uid, frozenset(groups))
        name = pwd.getpwuid(os.geteuid()).pw_name
        return cls(name, os.geteuid(), frozenset((os.getegid(), *os.getgroups())))

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
