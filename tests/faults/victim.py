"""A daemon whose workers a test can break, and what each fault's test looks at."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
from recordings import conversation
from running import Daemon, eventually

SABOTAGE: Final = Path(__file__).with_name("sabotage")
SMALL: Final = {
    "WHISPERD_DIARIZE__ENABLED": "false",
    "WHISPERD_WORKERS__PING_INTERVAL": "200ms",
}
WORDS: Final = ("jersey", "texas")
"""Said in the conversation."""


class Victim(Daemon):
    """A daemon with saboteurs inside its workers."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self._orders = directory / "orders"
        self._orders.mkdir()
        path = os.pathsep.join([str(SABOTAGE), *filter(None, [os.environ.get("PYTHONPATH")])])
        mine = {"PYTHONPATH": path, "SABOTAGE": str(self._orders)}
        super().__init__(directory, {**SMALL, **mine, **(settings or {})})

    def order(self, what: str, *, kind: str = "transcribe", at: str = "run") -> None:
        """Have a worker do something wrong."""
        (self._orders / f"{kind}.{at}").write_text(what, encoding="ascii")

    def lift(self, *, kind: str = "transcribe", at: str = "run") -> None:
        """Have it do right again."""
        (self._orders / f"{kind}.{at}").unlink()


def ask(daemon: Daemon) -> httpx.Response:
    """Have the conversation transcribed."""
    return daemon.transcribe(conversation())


def hand_in(daemon: Daemon) -> httpx.Response:
    """Hand the conversation in as a job."""
    with conversation().open("rb") as file:
        return httpx.post(
            f"{daemon.url}/v1/transcriptions",
            files={"audio": file},
            data={"language_code": "en", "speaker_labels": "false"},
            timeout=60,
        )


def answered(reply: httpx.Response) -> bool:
    """Whether it is the conversation's text."""
    return reply.status_code == 200 and all(word in reply.json()["text"].lower() for word in WORDS)


def code(reply: httpx.Response) -> Any:
    """The code of an error."""
    return reply.json()["error"]["code"]


def readiness(daemon: Daemon) -> tuple[int, Any]:
    """What `/health/ready` answers, and the reason that it gives."""
    reply = httpx.get(f"{daemon.url}/health/ready")
    return reply.status_code, reply.json()["reason"]


def until_ready(daemon: Daemon) -> None:
    for _ in eventually(60):
        if readiness(daemon)[0] == 200:
            return


def until_unready(daemon: Daemon, reason: str) -> None:
    """Wait until it says that it is not ready for a reason."""
    for _ in eventually(60):
        status, said = readiness(daemon)
        if status == 503 and reason in said:
            return


def metric(daemon: Daemon, name: str) -> float:
    """A number of the transcription's worker."""
    exposition = httpx.get(f"{daemon.url}/metrics").text
    lines = (line for line in exposition.splitlines() if line.startswith(f"{name}{{"))
    return float(next(line.rpartition(" ")[2] for line in lines if 'kind="transcribe"' in line))


def tracebacks(daemon: Daemon) -> list[str]:
    """What nobody expected."""
    return [line for line in daemon.log().splitlines() if line.startswith("Traceback")]
