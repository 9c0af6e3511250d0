"""A short run of each: nothing that a stranger sends is more than refused."""

import time
from pathlib import Path

import httpx2 as httpx
import pytest
from recordings import tone
from running import Daemon, eventually, models_installed

from fuzz import media, requests, settings

SEED = 7
SECONDS = 15.0


@pytest.mark.timeout(200)
async def test_mutated_recordings_are_decoded_or_refused(tmp_path: Path) -> None:
    found = await media.run(SECONDS, SEED, tmp_path / "kept")
    assert not found.faults, found.table()
    assert found.cases > 50
    assert found.peak_bytes < 2**30


def test_mutated_configurations_are_right_or_told_what_is_wrong(tmp_path: Path) -> None:
    checked, faults = settings.run(SECONDS, SEED, tmp_path)
    assert not faults, faults[0]
    assert checked > 100


@pytest.mark.engine
@pytest.mark.timeout(300)
def test_mutated_requests_are_answered_or_refused(tmp_path: Path) -> None:
    models_installed("tiny.en", "diarization")
    recording = tone(tmp_path / "tone.wav", seconds=0.5).read_bytes()
    until = None
    with Daemon(tmp_path, {"WHISPERD_LIMITS__UPLOAD_IDLE": "300ms"}) as daemon:
        paths = posts(daemon)
        for case in requests.cases(paths, recording, SEED):
            until = until or time.monotonic() + SECONDS
            if time.monotonic() > until:
                break
            answer = requests.send(daemon.port, case)
            told = (case.path, case.content[:3000], answer.status, answer.body[:1000])
            assert answer.status < 500 or answer.status in (503, 504), told
            assert str(tmp_path).encode() not in answer.body, told
            assert b"Traceback" not in answer.body, told
        assert daemon.health()["status"] in ("ok", "healthy")
        assert "Traceback" not in daemon.log()
        for _ in eventually():
            if not daemon.spooled():
                break


def posts(daemon: Daemon) -> list[str]:
    """Every path that something can be posted to."""
    document = httpx.get(f"{daemon.url}/openapi.json").json()
    return [path for path, methods in document["paths"].items() if "post" in methods]
