"""What a process that was taken over would try. Runs inside the service's own processes, not in the tests.

Laid into the package as a module that Python imports at its start, it tries everything once in each process
of the service, and in each that a decoder forks, and notes what came of it: `done`, or the error's name.
"""

import ctypes
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

STATE = Path("/var/lib/whisperd")
SPOOL = Path("/var/cache/whisperd")
_CLONE_NEWUSER, _CLONE_NEWNS, _CLONE_NEWNET = 0x10000000, 0x00020000, 0x40000000
_PTRACE_ATTACH = 16
_SYS_INIT_MODULE, _SYS_BPF, _SYS_KEYCTL, _SYS_PERF_EVENT_OPEN = 175, 321, 250, 298
_libc = ctypes.CDLL(None, use_errno=True)


def _call(result: int) -> None:
    """Raise what a call of the C library failed with."""
    if result == -1:
        raise OSError(ctypes.get_errno(), "")


def _run_from(directory: Path) -> None:
    program = directory / f"program-{os.getpid()}"
    shutil.copyfile("/bin/true", program)
    try:
        program.chmod(0o755)
        subprocess.run([program], check=True)
    finally:
        program.unlink()


def _set_user_bit() -> None:
    path = STATE / f"bit-{os.getpid()}"
    path.touch()
    try:
        path.chmod(0o4755)
    finally:
        path.unlink()


def _append(path: str) -> None:
    with Path(path).open("ab"):
        pass


def _trace_parent() -> None:
    _call(_libc.ptrace(_PTRACE_ATTACH, os.getppid(), 0, 0))


ATTEMPTS: dict[str, Callable[[], object]] = {
    "write to its state": lambda: (STATE / "written").write_text("x"),
    "write to the program": lambda: _append("/usr/lib/whisperd/mine"),
    "write to the configuration": lambda: _append("/etc/whisperd.toml"),
    "write to the system's log": lambda: _append("/var/log/mine"),
    "write to a setting of the kernel": lambda: _append("/proc/sys/kernel/core_pattern"),
    "write to a control group": lambda: _append("/sys/fs/cgroup/cgroup.procs"),
    "read home directories": lambda: list(Path("/home").iterdir()),
    "read root's home directory": lambda: list(Path("/root").iterdir()),
    "read the password file": lambda: Path("/etc/shadow").read_bytes(),
    "see processes of others": lambda: Path("/proc/1").stat(),
    "make a user namespace": lambda: _call(_libc.unshare(_CLONE_NEWUSER)),
    "make a mount namespace": lambda: _call(_libc.unshare(_CLONE_NEWNS)),
    "make a network namespace": lambda: _call(_libc.unshare(_CLONE_NEWNET)),
    "open a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close(),
    "open a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "open a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "open a socket to a hypervisor": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close(),
    "trace its parent": _trace_parent,
    "load a kernel module": lambda: _call(_libc.syscall(_SYS_INIT_MODULE, b"", 0, b"")),
    "load a program into the kernel": lambda: _call(_libc.syscall(_SYS_BPF, 0, 0, 0)),
    "read the kernel's keys": lambda: _call(_libc.syscall(_SYS_KEYCTL, 0, -3, 0, 0, 0)),
    "count the processor's events": lambda: _call(_libc.syscall(_SYS_PERF_EVENT_OPEN, 0, 0, -1, -1, 0)),
    "read its parent's memory": lambda: _call(_libc.process_vm_readv(os.getppid(), None, 0, None, 0, 0)),
    "mount": lambda: _call(_libc.mount(b"none", str(SPOOL).encode(), b"tmpfs", 0, b"")),
    "change its root": lambda: os.chroot(SPOOL),
    "become root": lambda: os.setuid(0),
    "ask for the processor before all others": lambda: os.sched_setscheduler(
        0, os.SCHED_FIFO, os.sched_param(1)
    ),
    "be another kind of machine": lambda: _call(_libc.personality(0x0008)),
    "mark a file to run as its owner": _set_user_bit,
    "open a connection": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
    "speak to a neighbour": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close(),
    "run a program of the system": lambda: subprocess.run(["/bin/true"], check=True),
    "run a program from its spool": lambda: _run_from(SPOOL),
    "run a program from its state": lambda: _run_from(STATE),
}


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def _try_all(who: str) -> None:
    outcomes = {name: _outcome(attempt) for name, attempt in ATTEMPTS.items()}
    (STATE / f"attempts-{who}.json").write_text(json.dumps(outcomes))


def _infiltrate_child() -> None:
    """Try it when the process of a recording has given up what it does not need."""
    from whisperd.engine import seclusion

    honest = seclusion.begin

    def begin() -> None:
        honest()
        _try_all("recording")

    seclusion.begin = begin


if "whisperd.engine" in sys.orig_argv:
    kind = sys.orig_argv[sys.orig_argv.index("whisperd.engine") + 1]
    _try_all(kind)
    os.register_at_fork(after_in_child=_infiltrate_child)
elif "serve" in sys.orig_argv:
    _try_all("daemon")
