"""Models that come when a request names them, and go; in a real daemon, with real weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil
import pytest
from recordings import CORPUS, conversation, cut
from running import Daemon, eventually, models_installed

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An English model by default, and one that translates beside it."""
    models_installed("tiny.en", "base")
    settings = {
        "WHISPERD_DIARIZE__ENABLED": "false",
        "WHISPERD_TRANSCRIBE__TRANSLATE_MODEL": "base",
        "WHISPERD_WORKERS__KEEP_ALIVE": "2s",
    }
    with Daemon(tmp_path_factory.mktemp("daemon"), settings) as daemon:
        yield daemon


@pytest.fixture
def short(tmp_path: Path) -> Path:
    return cut(conversation(), tmp_path / "short.wav", 8.0, 14.0)


def workers(daemon: Daemon, model: str) -> list[Any]:
    return [worker for worker in daemon.health()["workers"] if worker["model"] == model]


def test_a_model_comes_for_a_request_and_its_process_ends_when_it_idles(daemon: Daemon, short: Path) -> None:
    reply = daemon.transcribe(short, model="base")
    assert reply.status_code == 200
    [worker] = workers(daemon, "base")
    process = psutil.Process(worker["pid"])
    assert worker["state"] == "ready"
    for _ in eventually():
        if not process.is_running():
            break
    assert workers(daemon, "base")[0]["state"] == "unloaded"
    assert daemon.transcribe(short, model="base").json()["text"] == reply.json()["text"]
    assert workers(daemon, "tiny.en")[0]["restarts"] == 0


def test_speech_is_translated_by_the_model_that_can(daemon: Daemon) -> None:
    if not CORPUS.is_dir():
        pytest.skip("needs the recording of two languages beside the repository")
    german = CORPUS / "speech" / "multilingual.mp3"
    with german.open("rb") as file:
        reply = httpx.post(
            f"{daemon.url}/v1/audio/translations",
            files={"file": file},
            data={"model": "whisper-1"},
            timeout=240,
        )
    assert reply.status_code == 200
    assert not {"und", "der", "die", "nicht"} & set(reply.json()["text"].lower().split())
    assert workers(daemon, "base")[0]["restarts"] == 0


def test_the_main_model_is_unloaded_and_comes_back(daemon: Daemon, short: Path) -> None:
    before = daemon.worker("transcribe")
    reply = httpx.post(f"{daemon.url}/whisper/unload")
    assert reply.status_code == 200
    assert not before.is_running()
    assert workers(daemon, "tiny.en")[0]["state"] == "unloaded"
    assert httpx.get(f"{daemon.url}/health/ready").status_code == 200
    assert daemon.transcribe(short).status_code == 200
    assert workers(daemon, "tiny.en")[0]["state"] == "ready"


def test_what_is_no_model_here_is_told_with_those_that_are(daemon: Daemon, short: Path) -> None:
    reply = daemon.transcribe(short, model="large-v3")
    assert reply.status_code == 404
    assert "there are: tiny.en, base" in reply.json()["error"]["message"]


def test_no_process_is_left_when_it_stops(tmp_path: Path, short: Path) -> None:
    models_installed("tiny.en", "base")
    with Daemon(tmp_path, {"WHISPERD_DIARIZE__ENABLED": "false"}) as daemon:
        assert daemon.transcribe(short, model="base").status_code == 200
        children = daemon.children()
        assert len(children) == 3
    assert not [child for child in children if child.is_running()]
