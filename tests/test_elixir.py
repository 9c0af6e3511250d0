"""The werify app's client in its own language."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from recordings import conversation
from running import Daemon, models_installed

SCRIPT = Path(__file__).parent / "clients" / "werify.exs"

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, Any]]:
    """What a real daemon answered, by the request's name."""
    if not shutil.which("elixir"):
        pytest.skip("elixir is not installed")
    models_installed("tiny.en")
    with Daemon(tmp_path_factory.mktemp("daemon"), {"WHISPERD_DIARIZE__ENABLED": "false"}) as daemon:
        printed = subprocess.run(
            ["elixir", str(SCRIPT), daemon.url, str(conversation())],
            capture_output=True,
            text=True,
            check=True,
            timeout=240,
        ).stdout
    lines = (line.split(" ", 2) for line in printed.splitlines())
    return {name: (int(status), json.loads(body)) for name, status, body in lines}


def test_health(replies: dict[str, tuple[int, Any]]) -> None:
    status, body = replies["health"]
    assert (status, body["status"], body["device"], body["gpu_available"]) == (200, "healthy", "cpu", False)
    assert body["model"] == "tiny.en"


def test_a_recording(replies: dict[str, tuple[int, Any]]) -> None:
    status, body = replies["plain"]
    assert (status, body["language"], body["segments"]) == (200, "en", None)
    assert "Diane" in body["text"]
    assert body["duration"] == 30.0
    assert body["processing_time"] > 0


def test_segments(replies: dict[str, tuple[int, Any]]) -> None:
    status, body = replies["segments"]
    assert status == 200
    assert {"start", "end", "text"} <= set(body["segments"][0])
    assert " ".join(segment["text"] for segment in body["segments"]) == body["text"]


def test_a_batch(replies: dict[str, tuple[int, Any]]) -> None:
    status, body = replies["batch"]
    assert (status, body["total_files"]) == (200, 2)
    assert [result["text"] for result in body["results"]] == [replies["plain"][1]["text"]] * 2


def test_a_mistake(replies: dict[str, tuple[int, Any]]) -> None:
    status, body = replies["no-file"]
    assert status == 422
    assert body["detail"][0]["loc"][-1] == "url"


def test_the_queue(replies: dict[str, tuple[int, Any]]) -> None:
    status, body = replies["queue"]
    assert (status, body["current_queue_size"], body["is_processing"]) == (200, 0, False)
    assert (body["total_queued"], body["total_processed"]) == (4, 4)
