"""The installed service, whose workers a test can break, and what each fault's test looks at."""

import concurrent.futures
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import httpx2 as httpx
import psutil
from boxes import network
from boxes.box import PORT, Box
from recordings import conversation
from running import eventually

STATE: Final = "var/lib/whisperd"
"""Where the service may read and write, in the box's root."""
ORDERS: Final = f"/{STATE}/orders"
WORDS: Final = ("jersey", "texas")
"""Said in the conversation."""


class Victim:
    """A service with saboteurs inside its workers. To be used as a context manager."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.root = box.root
        self.state = self.root / STATE
        self._orders = self.state / "orders"
        # They live in the box's network, and all requests are sent by them.
        self._threads = concurrent.futures.ThreadPoolExecutor(initializer=network.enter, initargs=(box.pid,))

    def __enter__(self) -> Self:
        self.box.run("rm", "-rf", ORDERS)
        self.box.run("install", "--directory", "--owner=whisperd", ORDERS)
        self._logged = len(self.box.journal())
        self.box.systemctl("restart", "whisperd.service")
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    # ---- faults ----------------------------------------------------------------------------------

    def order(self, what: str) -> None:
        """Have the transcription's worker do something wrong at its next job, and only there."""
        (self._orders / "transcribe.run").write_text(f"{what} once", encoding="ascii")

    @contextlib.contextmanager
    def ordered(self, what: str, *, at: str = "run") -> Iterator[None]:
        """Have it do so at each job, or each time that it loads, for a while."""
        order = self._orders / f"transcribe.{at}"
        order.write_text(what, encoding="ascii")
        try:
            yield
        finally:
            order.unlink()

    def kill(self) -> None:
        """End the daemon, and wait until systemd has started another."""
        restarts = self.restarts()
        self.box.kill("KILL", self.box.main_pid())
        for _ in eventually():
            if self.restarts() > restarts:
                break
        until_ready(self)

    # ---- what systemd and the kernel know --------------------------------------------------------

    def restarts(self) -> int:
        """How often systemd has started the daemon again, since this began."""
        return int(self.box.show("NRestarts"))

    def process(self) -> psutil.Process:
        """The daemon, as the host has it."""
        return self._process("whisperd", "serve")

    def worker(self) -> psutil.Process:
        """The transcription's, as the host has it."""
        return self._process("whisperd.engine", "transcribe")

    def _process(self, *command: str) -> psutil.Process:
        """The one whose command line has these words after `-m`."""
        for process in psutil.Process(self.box.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                _, found, words = " ".join(process.cmdline()).partition(" -m ")
                if found and tuple(words.split()[: len(command)]) == command:
                    return process
        raise AssertionError(f"no process {command}")

    # ---- what it says ----------------------------------------------------------------------------

    def log(self) -> str:
        """All that was logged of it since this began."""
        return "\n".join(str(entry.get("MESSAGE", "")) for entry in self._journal())

    def errors(self) -> list[str]:
        """The codes of the requests and jobs that were refused or failed, as the journal has them."""
        return [str(entry["ERROR_CODE"]) for entry in self._journal() if "ERROR_CODE" in entry]

    def _journal(self) -> list[dict[str, Any]]:
        return self.box.journal()[self._logged :]

    # ---- asking ----------------------------------------------------------------------------------

    def get(self, path: str, **query: str) -> httpx.Response:
        return self._request("GET", path, params=query, timeout=90)

    def post(self, path: str, *, form: dict[str, str], **files: Path) -> httpx.Response:
        content = {name: (path.name, path.read_bytes()) for name, path in files.items()}
        return self._request("POST", path, data=form, files=content, timeout=240)

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{PORT}{path}"
        return self._threads.submit(httpx.request, method, url, **options).result()

    def health(self) -> Any:
        return self.get("/health").json()


def ask(victim: Victim, **form: str) -> httpx.Response:
    """Have the conversation transcribed."""
    return victim.post("/v1/audio/transcriptions", form=form, file=conversation())


def hand_in(victim: Victim) -> httpx.Response:
    """Hand the conversation in as a job."""
    form = {"language_code": "en", "speaker_labels": "false"}
    return victim.post("/v1/transcriptions", form=form, audio=conversation())


def job(accepted: httpx.Response) -> str:
    """The id of a job that was taken."""
    assert accepted.status_code == 202, accepted.text
    return str(accepted.json()["id"])


def ended(victim: Victim, job_id: str) -> Any:
    """A job, once it has ended."""
    return victim.get(f"/v1/jobs/{job_id}", wait="60").json()


def answered(reply: httpx.Response) -> bool:
    """Whether it is the conversation's text."""
    return reply.status_code == 200 and all(word in reply.json()["text"].lower() for word in WORDS)


def refused(reply: httpx.Response) -> tuple[int, Any]:
    """Status and code of an error; it says when to come back, where that makes sense."""
    if reply.status_code == 503:
        assert int(reply.headers["Retry-After"]) >= 1
    return reply.status_code, reply.json()["error"]["code"]


def readiness(victim: Victim) -> tuple[int, Any]:
    """What `/health/ready` answers, and the reason that it gives."""
    reply = victim.get("/health/ready")
    return reply.status_code, reply.json()["reason"]


def until_ready(victim: Victim) -> None:
    for _ in eventually(60):
        with contextlib.suppress(httpx.TransportError):
            if readiness(victim)[0] == 200:
                return


def until_unready(victim: Victim, reason: str) -> None:
    """Wait until it says that it is not ready for a reason."""
    for _ in eventually(60):
        status, said = readiness(victim)
        if status == 503 and reason in said:
            return


def until_status(victim: Victim, words: str) -> None:
    """Wait until `systemctl status` says so."""
    for _ in eventually():
        if words in victim.box.show("StatusText"):
            return


def until_busy(victim: Victim) -> None:
    """Wait until a request is being worked on."""
    for _ in eventually():
        if victim.health()["running"]:
            return


def metric(victim: Victim, name: str) -> float:
    """A number of the transcription's worker."""
    exposition = victim.get("/metrics").text
    lines = (line for line in exposition.splitlines() if line.startswith(f"{name}{{"))
    return float(next(line.rpartition(" ")[2] for line in lines if 'kind="transcribe"' in line))


def unharmed(victim: Victim) -> bool:
    """Whether the daemon never ended, and met nothing that nobody expected."""
    return victim.restarts() == 0 and "Traceback" not in victim.log()
