"""What the process of one recording gives up for good: the network, other programs, other processes.

It reads and writes files, and needs nothing else. The kernel holds it to that, wherever the service runs; the
unit's own rules have to leave the daemon its network.
"""

import ctypes
import errno
import platform
from typing import Final

from whisperd.engine.prctl import prctl

_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_AUDIT_ARCH_X86_64: Final = 0xC000003E
_X32: Final = 0x40000000
"""From this number on, calls are those of another interface, under other numbers."""

_GIVEN_UP: Final = {
    "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50,
    "socketpair": 53, "execve": 59, "ptrace": 101, "add_key": 248, "request_key": 249, "keyctl": 250,
    "unshare": 272, "accept4": 288, "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321,
    "execveat": 322, "userfaultfd": 323, "io_uring_setup": 425, "pidfd_open": 434, "pidfd_getfd": 438,
}  # fmt: skip
"""Numbers of x86-64."""

# Berkeley's packet filter, whose packet is a system call: its number, then the interface's.
_LOAD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06
_NUMBER_AT: Final = 0
_INTERFACE_AT: Final = 4
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EPERM


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def _program() -> _Program:
    """A check for each number; the last two allow and refuse. Jumps are counted from the next instruction."""
    numbers = sorted(_GIVEN_UP.values())
    checks = [
        (_LOAD, 0, 0, _INTERFACE_AT),
        (_JUMP_IF_EQUAL, 0, len(numbers) + 3, _AUDIT_ARCH_X86_64),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_IF_AT_LEAST, len(numbers) + 1, 0, _X32),
        *((_JUMP_IF_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return _Program(len(checks), (_Instruction * len(checks))(*(_Instruction(*check) for check in checks)))


# Ready before a process is forked: there, each page that it has to write to costs a copy.
_PROGRAM: Final = _program()
_KNOWN: Final = platform.machine() == "x86_64"


def begin() -> None:
    """Hold the calling thread, and those that it starts, to it. Raises OSError where the kernel can't."""
    if not _KNOWN:
        return
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(_PROGRAM))
