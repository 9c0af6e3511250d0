"""Text that may be made up, and several languages in one recording; in a real daemon, with real weights."""

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import CORPUS, conversation, cut, tone
from running import Daemon, models_installed

pytestmark = pytest.mark.engine

SETTINGS = {"WHISPERD_DIARIZE__ENABLED": "false", "WHISPERD_TRANSCRIBE__MODEL": "base"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """With a model of many languages."""
    models_installed("base")
    with Daemon(tmp_path_factory.mktemp("daemon"), SETTINGS) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def open_ears(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Without detection of speech: it transcribes whatever there is."""
    models_installed("base")
    settings = SETTINGS | {"WHISPERD_TRANSCRIBE__VAD": "false"}
    with Daemon(tmp_path_factory.mktemp("open"), settings) as daemon:
        yield daemon


def silence(path: Path) -> Path:
    return tone(path, seconds=10, amplitude=0)


def noise(path: Path) -> Path:
    """White, and the same each time."""
    samples = np.random.default_rng(0).normal(0, 3000, 10 * 16_000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def verbose(daemon: Daemon, recording: Path, **form: Any) -> Any:
    reply = daemon.transcribe(recording, response_format="verbose_json", **form)
    assert reply.status_code == 200, reply.text
    return reply.json()


def codes(body: Any) -> list[str]:
    return [notice["code"] for notice in body.get("warnings", ())]


def test_each_part_of_a_recording_is_in_its_own_language_where_that_is_asked(daemon: Daemon) -> None:
    if not CORPUS.is_dir():
        pytest.skip("needs the recording of two languages beside the repository")
    recording = CORPUS / "speech" / "multilingual.mp3"
    body = verbose(daemon, recording, multilingual="true")
    assert body["language"] == "english"
    german = [segment for segment in body["segments"] if segment.get("language")]
    assert {segment["language"] for segment in german} == {"german"}
    assert min(segment["start"] for segment in german) > 29
    assert " und " in "".join(segment["text"] for segment in german)
    reply = daemon.transcribe(recording, response_format="json", **{"languages[]": ["en", "de"]})
    assert reply.json()["languages"] == [{"code": "en"}, {"code": "de"}]


def test_the_decoder_may_know_what_was_said_before(daemon: Daemon, tmp_path: Path) -> None:
    short = cut(conversation(), tmp_path / "short.wav", 8.0, 20.0)
    body = verbose(daemon, short, language="en", condition_on_previous_text="true")
    assert "New Jersey" in body["text"]


@pytest.mark.parametrize("make", [silence, noise])
def test_nothing_is_made_up_where_nobody_speaks(daemon: Daemon, tmp_path: Path, make: Any) -> None:
    body = verbose(daemon, make(tmp_path / "a.wav"), language="en")
    assert (body["text"], body["segments"], codes(body)) == ("", [], [])


@pytest.mark.parametrize("make", [silence, noise])
def test_what_is_made_up_without_detection_is_marked_or_left_out_and_never_silently(
    open_ears: Daemon, tmp_path: Path, make: Any
) -> None:
    recording = make(tmp_path / "a.wav")
    marked = verbose(open_ears, recording, language="en")
    made_up = marked["segments"]
    assert made_up or make is noise, "there is nothing to mark"
    assert all("no_voice" in segment["doubts"] for segment in made_up)
    assert codes(marked) == ["text_doubted"] * bool(made_up)
    reply = open_ears.transcribe(recording, response_format="text", language="en", drop_doubted="true")
    assert reply.text.strip() == ""
    assert reply.headers.get("X-Whisperd-Warnings") == ("text_dropped" if made_up else None)


def test_speech_stays_where_doubted_text_is_left_out(open_ears: Daemon, tmp_path: Path) -> None:
    short = cut(conversation(), tmp_path / "short.wav", 8.0, 20.0)
    body = verbose(open_ears, short, language="en", drop_doubted="true")
    assert "New Jersey" in body["text"]
    assert codes(body) == []
