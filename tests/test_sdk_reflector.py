"""Reflector's live transcription against a real daemon: its library, its request, what it makes of words."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recordings import conversation, cut, tone
from running import Daemon, models_installed
from sdks import CLIENTS, REFLECTORS, python_with

pytestmark = pytest.mark.engine

CHUNK_S = 5
WORDS = {"timestamp_granularities[]": "word"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    models_installed("tiny.en")
    settings = {"WHISPERD_DIARIZE__ENABLED": "false"}
    with Daemon(tmp_path_factory.mktemp("daemon"), settings) as daemon:
        yield daemon


def live(url: str, *chunks: Path) -> Any:
    """The words of each chunk, as Reflector's server gets them."""
    done = subprocess.run(
        [python_with(*REFLECTORS), CLIENTS / "reflector_live.py", url, *chunks],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("slash", ["", "/"], ids=["url", "url with a slash at its end"])
def test_words_of_live_chunks_read_as_text_when_joined(daemon: Daemon, tmp_path: Path, slash: str) -> None:
    starts = (9, 14, 22)
    chunks = [cut(conversation(), tmp_path / f"tmp{n}x8k2.wav", n, n + CHUNK_S) for n in starts]
    for words, chunk in zip(live(daemon.url + slash, *chunks), chunks, strict=True):
        text = daemon.transcribe(chunk, response_format="verbose_json", language="en", **WORDS).json()["text"]
        assert "".join(word["word"] for word in words).strip() == text
        assert len(re.findall(r"\S+", text)) >= 5
        starts_s = [word["start"] for word in words]
        assert starts_s == sorted(starts_s)
        assert all(0 <= word["start"] <= word["end"] <= CHUNK_S for word in words)


def test_a_chunk_of_silence_has_a_list_of_no_words(daemon: Daemon, tmp_path: Path) -> None:
    assert live(daemon.url, tone(tmp_path / "tmp0.wav", seconds=CHUNK_S, amplitude=0)) == [[]]


def test_a_chunk_shorter_than_a_word_is_answered(daemon: Daemon, tmp_path: Path) -> None:
    [words] = live(daemon.url, cut(conversation(), tmp_path / "tmp1.wav", 10, 10.2))
    assert isinstance(words, list)
