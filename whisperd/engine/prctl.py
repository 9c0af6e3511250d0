"""prctl(2): what a process asks of the kernel for itself."""

import ctypes
import os
import signal
from typing import Final

# Found now: in a forked process each page that has to be written to, or looked up once more, costs time.
_prctl: Final = ctypes.CDLL(None, use_errno=True).prctl
_prctl.argtypes = [ctypes.c_int, *(4 * [ctypes.c_ulong])]
_PR_SET_PDEATHSIG: Final = 1


def prctl(option: int, first: int = 0, second: int = 0) -> None:
    """Raises OSError."""
    if _prctl(option, first, second, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def end_with_parent() -> None:
    """Be killed when the process ends that has started this one."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
