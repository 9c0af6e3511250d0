"""OpenAI's own libraries against a real daemon on real weights, each in a process of its own.

The newest for Python, the one that Reflector pins, and the newest for JavaScript send the same requests.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from recordings import conversation, cut
from running import Daemon, models_installed
from sdks import CLIENTS, REFLECTORS, node_with, python_with

pytestmark = pytest.mark.engine


class Ground(NamedTuple):
    """A daemon, and what is sent to it."""

    daemon: Daemon
    recording: Path
    """12 s of two people."""
    voice: Path
    """6 s of one of them."""


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    models_installed("tiny.en", "base", "diarization")
    directory = tmp_path_factory.mktemp("daemon")
    recording = cut(conversation(), directory / "talk.wav", 6, 18)
    voice = cut(conversation(), directory / "voice.wav", 22, 28)
    with Daemon(directory) as daemon:
        yield Ground(daemon, recording, voice)


@pytest.fixture(scope="module", params=["python", "python 1.97.0", "javascript"])
def told(request: pytest.FixtureRequest, ground: Ground) -> Any:
    """What a library made of each answer, by the request's name."""
    script: list[str | Path] = [sys.executable, CLIENTS / "openai_sdk.py"]
    if request.param == "python 1.97.0":
        script[0] = python_with(*REFLECTORS)
    elif request.param == "javascript":
        node, place = node_with(CLIENTS / "openai-js")
        script = [node, place / "openai_sdk.mjs"]
    done = subprocess.run(
        [*script, ground.daemon.url, ground.recording, ground.voice],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def plain(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]", "", text.lower().replace("-", " ")).split()


def deltas(events: list[Any]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "transcript.text.delta")


# ---- formats -------------------------------------------------------------------------------------


def test_the_text(told: Any) -> None:
    assert "Diane" in told["json"]["text"]
    assert told["json"]["usage"] == {"seconds": 12.0, "type": "duration"}
    assert set(told["json"]) == {"text", "usage"}
    assert "Diane" in told["plain"]["text"]
    assert told["text"] == told["json"]["text"] + "\n"


def test_subtitles(told: Any) -> None:
    assert told["srt"].startswith("1\n00:00:0")
    assert told["vtt"].startswith("WEBVTT\n\n00:0")
    for subtitles in (told["srt"], told["vtt"]):
        assert "Diane" in subtitles


def test_words_and_segments(told: Any) -> None:
    verbose = told["verbose"]
    assert (verbose["task"], verbose["language"], verbose["duration"]) == ("transcribe", "english", 12.0)
    assert all(word["word"] == word["word"].strip() for word in verbose["words"])
    assert plain(" ".join(word["word"] for word in verbose["words"])) == plain(verbose["text"])
    assert all(0 <= word["start"] <= word["end"] <= 12 for word in verbose["words"])
    assert {"id", "seek", "tokens", "avg_logprob", "no_speech_prob"} <= set(verbose["segments"][0])


def test_speakers_of_whom_one_is_known(told: Any) -> None:
    diarized = told["diarized"]
    assert {segment["speaker"] for segment in diarized["segments"]} == {"agent", "A"}
    assert diarized["text"].splitlines()[0].startswith(("agent: ", "A: "))
    assert "warnings" not in diarized


def test_probabilities_of_words(told: Any) -> None:
    entries = told["logprobs"]["logprobs"]
    assert plain("".join(entry["token"] for entry in entries)) == plain(told["logprobs"]["text"])
    # The library for Python makes numbers with a fraction of them.
    assert all(bytes(map(int, entry["bytes"])).decode() == entry["token"] for entry in entries)
    assert all(entry["logprob"] <= 0 for entry in entries)
    assert "warnings" not in told["logprobs"], "the settings of the detection had an effect"


def test_languages_to_choose_from(told: Any) -> None:
    assert told["candidates"]["languages"] == [{"code": "en"}]
    assert "warnings" not in told["candidates"]


# ---- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stream", "stream_logprobs"])
def test_a_stream_tells_the_text_by_pieces_and_whole(told: Any, name: str) -> None:
    *pieces, done = told[name]
    assert len(pieces) > 1
    assert done["type"] == "transcript.text.done"
    assert deltas(pieces) == done["text"]
    assert plain(done["text"]) == plain(told["json"]["text"])
    assert done["usage"]["seconds"] == 12


def test_a_stream_tells_probabilities(told: Any) -> None:
    *pieces, done = told["stream_logprobs"]
    entries = [entry for piece in pieces for entry in piece["logprobs"]]
    assert entries == done["logprobs"]
    assert "".join(entry["token"] for entry in entries).strip() == done["text"]


def test_a_stream_tells_who_spoke(told: Any) -> None:
    *pieces, done = told["stream_diarized"]
    segments = [event for event in pieces if event["type"] == "transcript.text.segment"]
    assert segments == told["diarized"]["segments"]
    assert {event["segment_id"] for event in pieces if "segment_id" in event} == {
        segment["id"] for segment in segments
    }
    assert deltas(pieces) == done["text"] == told["diarized"]["text"]


# ---- models and translations ---------------------------------------------------------------------


def test_models(told: Any) -> None:
    assert told["models"]["object"] == "list"
    names = [model["id"] for model in told["models"]["data"]]
    assert names[0] == "tiny.en"
    assert "base" in names
    assert "diarization" not in names
    assert told["model"]["id"] == "whisper-1"


def test_translations_by_a_model_that_can(told: Any) -> None:
    assert "Diane" in told["translated"]["text"]
    assert set(told["translated"]) == {"text"}


def test_no_translation_by_a_model_that_cannot(told: Any) -> None:
    assert told["untranslated"]["status"] == 400
    assert told["untranslated"]["body"]["param"] == "task"


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "kind", "code", "param"),
    [
        ("unknown_model", 404, "NotFoundError", "model_not_found", "model"),
        ("wrong_format", 400, "BadRequestError", "invalid_parameter", "response_format"),
        ("wrong_vad", 400, "BadRequestError", "invalid_parameter", "chunking_strategy"),
        ("no_recording", 400, "BadRequestError", "invalid_audio", None),
        ("empty", 400, "BadRequestError", "empty_file", "file"),
    ],
)
def test_errors(told: Any, name: str, status: int, kind: str, code: str, param: str | None) -> None:
    error = told[name]
    assert (error["status"], error["class"]) == (status, kind)
    assert set(error["body"]) == {"message", "type", "param", "code"}
    assert (error["body"]["code"], error["body"]["param"]) == (code, param)
