"""A throw-away system with a real systemd, driven from outside. `sdbox`, beside this file, makes it."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

SDBOX = Path(__file__).with_name("sdbox")
PORT = 8000
SITE_PACKAGES = "/usr/lib/whisperd/venv/lib/python3.11/site-packages"
"""Of the installed program. Its Python heeds no PYTHONPATH."""


def sdbox(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run sdbox, as the owner of the boxes it makes."""
    environment = os.environ | {"SDBOX_OWNER": str(os.getpid())}
    done = subprocess.run(
        [SDBOX, *arguments], env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


@dataclass(frozen=True)
class Reply:
    """What the service answered to curl; status 0 when nobody answered."""

    status: int
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


class Request:
    """A request under way, sent by a program of the host that lives in the box's network."""

    def __init__(self, curl: subprocess.Popen[str]) -> None:
        self._curl = curl

    def reply(self, timeout_s: float = 120) -> Reply:
        """Wait for the answer."""
        output, _ = self._curl.communicate(timeout=timeout_s)
        body, _, status = output.rpartition("\n")
        return Reply(int(status), body)

    def abandon(self) -> None:
        """End it, wherever it is."""
        self._curl.kill()
        self._curl.communicate()


class Box:
    """One system, gone with the context. Its methods speak of what is inside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._requests: list[Request] = []

    @classmethod
    def boot(
        cls,
        name: str,
        layers: Sequence[Path],
        *,
        size: str = "2g",
        read_only: Mapping[Path, str] | None = None,
    ) -> Self:
        """Boot over `layers`, topmost first; `read_only` are files of the host and where they appear."""
        name = f"{name}-{os.getpid()}"
        binds = [
            word
            for source, target in (read_only or {}).items()
            for word in ("--bind-ro", f"{source.resolve()}:{target}")
        ]
        sdbox("up", name, "--lower", ":".join(map(str, layers)), "--size", size, *binds)
        return cls(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for request in self._requests:
            request.abandon()
        sdbox("down", self.name)

    def reboot(self) -> None:
        """In order, with the same disk."""
        sdbox("stop", self.name)
        sdbox("start", self.name)

    def unplug(self) -> None:
        """End everything in it at once; the disk stays."""
        sdbox("unplug", self.name)

    def start(self) -> None:
        """Boot again, with the same disk."""
        sdbox("start", self.name)

    def power_off(self) -> Path:
        """In order; returns the layer that holds what was written."""
        sdbox("stop", self.name)
        return self.layer

    @property
    def layer(self) -> Path:
        """Where the host has what was written."""
        return Path(sdbox("layer", self.name).stdout.strip())

    @property
    def root(self) -> Path:
        """Its files, as they are inside, while it is up."""
        return Path(f"/proc/{self.pid}/root")

    @property
    def pid(self) -> int:
        """Its PID 1, as the host counts."""
        return int(sdbox("pid", self.name).stdout)

    # ---- commands and files

    def run(self, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as root."""
        return sdbox("run", self.name, *command, check=check)

    def output(self, *command: str | Path) -> str:
        return self.run(*command).stdout.strip()

    def apt(self, *arguments: str) -> str:
        """Run apt-get as a script does; returns what it printed."""
        options = ("--yes", "--allow-downgrades", "--option=Dpkg::Use-Pty=0")
        done = self.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, *arguments)
        return done.stdout + done.stderr

    def kill(self, signal: str, pid: int) -> None:
        # the shell's own: kill(1) is in a package that not every system has
        self.run("sh", "-c", f"kill -{signal} {pid}")

    def write(self, path: str, text: str) -> None:
        """Write a file, and the directories it needs."""
        self.run("sh", "-c", 'mkdir -p "$(dirname "$0")"; printf %s "$1" >"$0"', path, text)

    def exists(self, path: str) -> bool:
        return self.run("test", "-e", path, check=False).returncode == 0

    # ---- systemd

    def systemctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", *arguments, check=check)

    def show(self, prop: str, unit: str = "whisperd.service") -> str:
        """A property of a unit, as systemd knows it now."""
        return self.output("systemctl", "show", unit, "--value", "--property", prop)

    def main_pid(self) -> int:
        """The daemon's process, as the box counts."""
        return int(self.show("MainPID"))

    def processes(self) -> dict[int, str]:
        """The service's processes and their command lines, as the box counts."""
        script = (
            'for pid in $(cat "/sys/fs/cgroup$0/cgroup.procs" 2>/dev/null); do '
            'echo "$pid $(tr "\\0" " " <"/proc/$pid/cmdline")"; done'
        )
        lines = self.output("sh", "-c", script, self.show("ControlGroup") or "/none").splitlines()
        return {int(pid): command.strip() for pid, _, command in (line.partition(" ") for line in lines)}

    def worker_pid(self, kind: str) -> int:
        """The process of the one worker of a kind."""
        return next(pid for pid, command in self.processes().items() if f"whisperd.engine {kind}" in command)

    def journal(self, unit: str = "whisperd.service") -> list[dict[str, Any]]:
        """What a unit, and systemd about it, has logged, oldest first."""
        self.run("journalctl", "--sync")
        output = self.output("journalctl", "--unit", unit, "--output", "json", "--all")
        return [json.loads(line) for line in output.splitlines()]

    def messages(self, unit: str = "whisperd.service") -> str:
        """The same as text."""
        return "\n".join(str(entry.get("MESSAGE", "")) for entry in self.journal(unit))

    @contextmanager
    def override(self, *service_lines: str) -> Iterator[None]:
        """What `systemctl edit` would write into the unit's [Service], for a while."""
        directory = "/etc/systemd/system/whisperd.service.d"
        self.write(f"{directory}/test.conf", "\n".join(["[Service]", *service_lines, ""]))
        self.systemctl("daemon-reload")
        try:
            yield
        finally:
            self.run("rm", f"{directory}/test.conf")
            self.systemctl("daemon-reload")

    # ---- the service over HTTP

    def send(self, path: str, *curl_options: str, scheme: str = "http") -> Request:
        """Begin a request to the service, by curl."""
        command = [
            "curl",
            "--silent",
            "--write-out",
            "\n%{http_code}",
            *curl_options,
            f"{scheme}://127.0.0.1:{PORT}{path}",
        ]
        environment = os.environ | {"SDBOX_OWNER": str(os.getpid())}
        curl = subprocess.Popen(
            [SDBOX, "net", self.name, *command], env=environment, stdout=subprocess.PIPE, text=True
        )
        self._requests.append(Request(curl))
        return self._requests[-1]

    def get(self, path: str) -> Reply:
        return self.send(path).reply()

    def begin_post(self, path: str, recording: Path, **fields: str) -> Request:
        """Begin to upload a recording as the form field `file`."""
        form = ["--form", f"file=@{recording}"]
        for name, value in fields.items():
            form += ["--form-string", f"{name}={value}"]
        return self.send(path, *form)

    def post(self, path: str, recording: Path, **fields: str) -> Reply:
        return self.begin_post(path, recording, **fields).reply()


def until(condition: Callable[[], object], what: str, timeout_s: float = 90) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)
