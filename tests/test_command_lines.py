"""Command lines that users of the other systems type, run by curl as they stand but for hosts and files."""

import functools
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx2 as httpx
import pytest
from av.audio.stream import AudioStream
from recordings import conversation, tone
from running import Daemon, models_installed
from weights import weights

from whisperd.models.store import MANIFEST

pytestmark = pytest.mark.engine

WERIFY = {
    "transcribe": "curl -X POST http://HOST:8000/transcribe -F 'file=@audio.mp3'",
    "segments": "curl -X POST 'http://HOST:8000/transcribe?language=en&include_segments=true' "
    "-F 'file=@audio.mp3'",
    "url": 'curl -X POST http://HOST:8000/transcribe/url -H "Content-Type: application/json" '
    """-d '{"url": "https://example.com/audio.mp3"}'""",
    "translate": "curl -X POST 'http://HOST:8000/transcribe?task=translate' -F 'file=@spanish-audio.mp3'",
}
HEALTH = "curl http://HOST:8000/health"
FLASK = (
    'curl -s -X POST http://127.0.0.1:5000/transcribe -F "audio=@/tmp/test-tone.wav" -F "use_gpu=true" '
    '-F "model=small" -F "language=auto"'
)
REFLECTOR_HEALTH = "curl -s -o /dev/null -w '%{http_code}' -I https://HOST/docs"
REFLECTOR = (
    'curl -s -X POST https://HOST/v1/audio/transcriptions -H "Authorization: Bearer KEY" -F "file=@audio.wav"'
)
LEXIA = 'curl -X POST http://HOST:8002/transcribe -F "audio=@/path/to/audio.wav"'


class Machine:
    """A daemon with two models, and a directory with the recordings that the lines name."""

    def __init__(self, daemon: Daemon, directory: Path, files_url: str) -> None:
        self.daemon = daemon
        self._directory = directory
        self._places = {
            "http://HOST:8000": daemon.url,
            "http://HOST:8002": daemon.url,
            "http://127.0.0.1:5000": daemon.url,
            "https://HOST": daemon.url,
            "https://example.com": files_url,
            "/tmp/": f"{directory}/",
            "/path/to/": f"{directory}/",
        }

    def type(self, line: str) -> Any:
        """What curl printed, as JSON."""
        for place, here in self._places.items():
            line = line.replace(place, here)
        done = subprocess.run(
            ["bash", "-c", line], cwd=self._directory, capture_output=True, text=True, timeout=240, check=True
        )
        return json.loads(done.stdout)


def as_mp3(source: Path, target: Path) -> None:
    with av.open(str(source)) as wav, av.open(str(target), "w") as mp3:
        stream = mp3.add_stream("libmp3lame", rate=16_000)
        assert isinstance(stream, AudioStream)
        for frame in wav.decode(audio=0):
            frame.pts = None
            mp3.mux(stream.encode(frame))
        mp3.mux(stream.encode(None))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The directory, and the URL under which a server on this machine has it."""
    directory = tmp_path_factory.mktemp("files")
    as_mp3(conversation(), directory / "audio.mp3")
    (directory / "spanish-audio.mp3").symlink_to(directory / "audio.mp3")
    (directory / "audio.wav").symlink_to(conversation())
    tone(directory / "test-tone.wav")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield directory, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def machine(files: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    models_installed("diarization")
    state = tmp_path_factory.mktemp("state")
    (state / "models").mkdir()
    for name in ("base", "diarization"):
        (state / "models" / name).symlink_to(weights(name))
    # The lines name `small`; its weights are not needed to show that a model by that name is loaded and used.
    small = state / "models" / "small"
    small.mkdir()
    for file in weights("base").iterdir():
        (small / file.name).symlink_to(file)
    manifest = json.loads((small / MANIFEST).read_text(encoding="utf-8"))
    (small / MANIFEST).unlink()
    (small / MANIFEST).write_text(json.dumps(manifest | {"name": "small"}), encoding="utf-8")
    settings = {
        "WHISPERD_PATHS__STATE": str(state),
        "WHISPERD_TRANSCRIBE__MODEL": "base",
        "WHISPERD_FETCH__ALLOW": "127.0.0.1",
    }
    with Daemon(tmp_path_factory.mktemp("daemon"), settings) as daemon:
        yield Machine(daemon, *files)


# ---- werify --------------------------------------------------------------------------------------


def test_health(machine: Machine) -> None:
    body = machine.type(HEALTH)
    assert (body["status"], body["model"], body["device"], body["gpu_available"]) == (
        "healthy",
        "base",
        "cpu",
        False,
    )


@pytest.mark.parametrize("name", WERIFY)
def test_the_werify_apps_lines(machine: Machine, name: str) -> None:
    body = machine.type(WERIFY[name])
    keys = {"text", "language", "duration", "processing_time", "queue_wait_time", "segments"}
    assert set(body) == keys
    assert "Diane" in body["text"]
    assert body["language"] == "en"
    assert body["duration"] == pytest.approx(30.0, abs=0.1)
    assert body["processing_time"] > 0
    if name != "segments":
        assert body["segments"] is None
        return
    assert all(set(segment) == {"start", "end", "text"} for segment in body["segments"])
    assert "Diane" in " ".join(segment["text"] for segment in body["segments"])


def test_the_queue_counted_them(machine: Machine) -> None:
    before = httpx.get(f"{machine.daemon.url}/queue/status").json()
    machine.type(WERIFY["transcribe"])
    after = httpx.get(f"{machine.daemon.url}/queue/status").json()
    assert after["total_processed"] == before["total_processed"] + 1
    assert after["total_queued"] == after["total_processed"]
    assert (after["current_queue_size"], after["is_processing"]) == (0, False)


def test_a_batch_with_a_bad_file(machine: Machine, files: tuple[Path, str]) -> None:
    directory, _ = files
    (directory / "b.txt").write_text("no recording")
    line = "curl -s http://HOST:8000/transcribe/batch -F files=@audio.mp3 -F files=@b.txt -F files=@audio.wav"
    body = machine.type(line)
    assert body["total_files"] == 3
    first, second, third = body["results"]
    assert second == {"filename": "b.txt", "error": "Unsupported file type: .txt"}
    assert all("Diane" in one["text"] for one in (first, third))


# ---- Flask ---------------------------------------------------------------------------------------


def test_the_flask_transcribers_tone(machine: Machine) -> None:
    body = machine.type(FLASK)
    assert set(body) == {"transcript", "markdown", "metadata", "downloads"}
    metadata = body["metadata"]
    assert (metadata["model"], metadata["device"], metadata["task"]) == ("small", "cpu", "transcribe")
    assert (metadata["gpu_requested"], metadata["gpu_used"]) == (True, False)
    assert metadata["duration"] == 1.0
    text = httpx.get(body["downloads"]["text"])
    assert (text.status_code, text.text) == (200, f"{body['transcript']}\n")


def test_the_flask_transcribers_model_is_loaded_and_unloaded(machine: Machine) -> None:
    machine.type(FLASK)
    loaded = httpx.get(f"{machine.daemon.url}/gpu/status").json()
    assert (loaded["available"], loaded["memory"], loaded["whisper_models_loaded"]) == (False, {}, 2)
    unloaded = httpx.post(f"{machine.daemon.url}/whisper/unload", timeout=60).json()
    assert unloaded["models_unloaded"] == 2
    assert unloaded["gpu_status"]["whisper_models_loaded"] == 0
    assert httpx.get(f"{machine.daemon.url}/healthz").json()["status"] == "ok"
    assert "Diane" in machine.type(WERIFY["transcribe"])["text"], (
        "what was unloaded comes back when asked for"
    )


def test_speakers_are_told_to_the_flask_transcribers_clients(machine: Machine) -> None:
    body = machine.type(
        "curl -s http://127.0.0.1:5000/transcribe -F audio=@audio.wav -F diarization=local -F max_speakers=2"
    )
    assert body["metadata"]["diarization"] == "local"
    assert "## SPEAKER_00" in body["markdown"]
    assert "SPEAKER_01: " in httpx.get(body["downloads"]["srt"]).text


# ---- Reflector -----------------------------------------------------------------------------------


def test_reflectors_health_check(machine: Machine) -> None:
    assert machine.type(REFLECTOR_HEALTH) == 200


def test_reflectors_line(machine: Machine) -> None:
    body = machine.type(REFLECTOR)
    assert {"text", "words", "filename"} <= set(body)
    assert body["filename"] == "audio.wav"
    assert "".join(word["word"] for word in body["words"]).strip() == body["text"]
    assert "Diane" in body["text"]


# ---- Lexia ---------------------------------------------------------------------------------------


def test_lexias_line(machine: Machine) -> None:
    """With nothing but `audio` it is the Flask transcriber's too, whose clients are served first."""
    assert "Diane" in machine.type(LEXIA)["transcript"]


def test_lexias_line_with_a_language(machine: Machine) -> None:
    body = machine.type(LEXIA.replace("/transcribe", "/transcribe?language=en"))
    assert set(body) == {"text", "segments", "words", "language", "language_confidence", "duration"}
    assert "Diane" in body["text"]
    assert body["words"]
    assert body["words"] == [word for segment in body["segments"] for word in segment["words"]]
    assert all(0 < word["confidence"] <= 1 and word["start"] <= word["end"] for word in body["words"])


def test_lexias_line_where_flask_is_off(files: tuple[Path, str], tmp_path: Path) -> None:
    models_installed("tiny.en")
    settings = {"WHISPERD_API__DIALECTS": "lexia", "WHISPERD_DIARIZE__ENABLED": "false"}
    with Daemon(tmp_path, settings) as daemon:
        body = Machine(daemon, *files).type(LEXIA)
    assert "Diane" in body["text"]
    assert body["language_confidence"] > 0


def test_a_conversation_is_told_apart(machine: Machine) -> None:
    body = machine.type(
        "curl -s 'http://HOST:8002/diarize?num_speakers=2&min_segment_duration=0.2&merge_gaps=0.5' "
        "-F audio=@audio.wav"
    )
    assert set(body) == {"speakers", "segments", "overlaps", "stats", "rttm"}
    assert {speaker["id"] for speaker in body["speakers"]} == {"A", "B"}
    assert sum(speaker["percentage"] for speaker in body["speakers"]) == pytest.approx(100, abs=0.1)
    assert all(segment["end"] - segment["start"] >= 0.2 for segment in body["segments"])
    assert body["stats"]["num_segments"] == len(body["segments"]) == body["rttm"].count("\n")
