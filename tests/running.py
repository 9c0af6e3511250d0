"""A real daemon in a process of its own, with its talk to systemd overheard."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2 as httpx
import psutil
import pytest
from recordings import REPOSITORY

STATE = REPOSITORY / ".state"


def models_installed(*names: str) -> None:
    """Skip the test where a model is missing."""
    for name in names:
        if not (STATE / "models" / name).is_dir():
            pytest.skip(f"the model {name} is not in {STATE}: make models")


class Daemon:
    """`whisperd serve`, on a free port, in directories of its own; models come from the repository's."""

    program: Sequence[str] = (sys.executable, "-m", "whisperd")

    def __init__(
        self, directory: Path, settings: Mapping[str, str] | None = None, config: str | None = None
    ) -> None:
        self.directory = directory
        self.notifications: list[str] = []
        self._heard = threading.Condition()
        self._ear: socket.socket | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = directory / "whisperd.toml"
        if config is not None:
            self.config.write_text(config, encoding="utf-8")
        state = directory / "var"
        state.mkdir(exist_ok=True)
        for shared in ("models", "cache"):
            if not (state / shared).is_symlink():
                (state / shared).symlink_to(STATE / shared)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("WHISPERD_")},
            "WHISPERD_PATHS__STATE": str(state),
            "WHISPERD_PATHS__SPOOL": str(directory / "spool"),
            "WHISPERD_PATHS__RUN": str(directory / "run"),
            "WHISPERD_SERVER__LISTEN": f"127.0.0.1:{self.port}",
            "WHISPERD_TRANSCRIBE__MODEL": "tiny.en",
            **(settings or {}),
        }

    # ---- start and stop --------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def start(self) -> None:
        """Start, and listen to what it tells systemd. The one before must have ended."""
        address = self.directory / "notify"
        address.unlink(missing_ok=True)
        if self._ear:
            self._ear.shutdown(socket.SHUT_RD)  # the end of what its thread hears
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(str(address))
        self.log_path = self.directory / "log"
        command = [*self.program]
        if self.config.exists():
            command += ["--config", str(self.config)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "serve"],
                env=self.environment | {"NOTIFY_SOCKET": str(address)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        threading.Thread(target=self._listen, args=(self._ear,), daemon=True).start()

    def kill(self) -> None:
        """End it and wait."""
        self.process.kill()
        self.process.wait()

    def run_to_the_end(self, timeout_s: float = 60) -> int:
        """Start, and wait for it to end by itself."""
        self.start()
        try:
            return self.process.wait(timeout_s)
        finally:
            self.kill()

    # ---- what it says ----------------------------------------------------------------------------

    def _listen(self, ear: socket.socket) -> None:
        with ear:
            while data := ear.recv(65_536):
                with self._heard:
                    self.notifications += data.decode().splitlines()
                    self._heard.notify_all()

    def wait_for_notification(self, start: str, timeout_s: float = 90, *, after: int = 0) -> str:
        """The first line that begins so, of those after the first `after`; fails when it ends before."""
        deadline = time.monotonic() + timeout_s
        with self._heard:
            while True:
                for line in self.notifications[after:]:
                    if line.startswith(start):
                        return line
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"no {start}; {self.notifications}; log:\n{self.log()}")
                self._heard.wait(0.1)

    def wait_ready(self) -> None:
        """Wait for READY=1."""
        self.wait_for_notification("READY=1")

    def log(self) -> str:
        """All that it logged."""
        return self.log_path.read_text(encoding="utf-8")

    def health(self) -> Any:
        """GET /health."""
        return httpx.get(f"{self.url}/health").json()

    def worker(self, kind: str) -> psutil.Process:
        """A worker's process."""
        pid = next(worker["pid"] for worker in self.health()["workers"] if worker["kind"] == kind)
        return psutil.Process(pid)

    def restarts(self, kind: str) -> int:
        """How often a worker was started again."""
        return int(next(worker["restarts"] for worker in self.health()["workers"] if worker["kind"] == kind))

    def children(self) -> list[psutil.Process]:
        """All processes that it started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def spooled(self) -> list[Path]:
        """What lies in the spool."""
        return list((self.directory / "spool").iterdir())

    # ---- asking ----------------------------------------------------------------------------------

    def post(self, path: str, recording: Path, timeout_s: float = 240, **form: Any) -> httpx.Response:
        """Post a recording as `file`, with form fields."""
        with recording.open("rb") as file:
            return httpx.post(
                f"{self.url}{path}", files={"file": (recording.name, file)}, data=form, timeout=timeout_s
            )

    def transcribe(self, recording: Path, **form: Any) -> httpx.Response:
        """Post to OpenAI's endpoint."""
        return self.post("/v1/audio/transcriptions", recording, **form)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `whisperd ...` with the daemon's own configuration."""
        config = ["--config", str(self.config)] if self.config.exists() else []
        return subprocess.run(
            [sys.executable, "-m", "whisperd", *config, *arguments],
            env=self.environment | {"WHISPERD_SERVER": self.url},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


def eventually(timeout_s: float = 30) -> Iterator[None]:
    """Tries, a tenth of a second apart; ends in a failure."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        yield
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_s} s")


def freeze(process: psutil.Process) -> None:
    """Stop a process where it stands."""
    process.send_signal(signal.SIGSTOP)
