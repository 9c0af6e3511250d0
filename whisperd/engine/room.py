"""A full disk, told to callers as what it is."""

import contextlib
import errno
from collections.abc import Iterator

from whisperd.errors import Unavailable


@contextlib.contextmanager
def needing_room() -> Iterator[None]:
    """Raises Unavailable in place of the OSError that says that the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unavailable("the server has no room to decode the recording now") from error
