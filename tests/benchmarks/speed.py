"""Seconds of audio for each second of work, from request to reply, on a conversation of 30 s."""

import statistics
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from recordings import conversation
from running import Daemon

from .client import Form, form, post
from .report import Figure, spread

MODEL: Final = "base"
WARM: Final = 5


def measure(directory: Path) -> Iterator[Figure]:
    """Text, speakers, and both in one request; each as the first request of a daemon, and after it."""
    with wave.open(str(conversation()), "rb") as file:
        length_s = file.getnframes() / file.getframerate()
    for what, upload in _uploads().items():
        with Daemon(directory, {"WHISPERD_TRANSCRIBE__MODEL": MODEL}) as daemon:
            cold = length_s / post(daemon.port, upload)
            warm = [length_s / post(daemon.port, upload) for _ in range(WARM)]
        yield Figure(f"{what}, first request", cold, "x real time")
        yield Figure(f"{what}, later ones", statistics.median(warm), "x real time", None, spread(warm))


def _uploads() -> dict[str, Form]:
    recording = conversation()
    return {
        f"text ({MODEL})": form("/v1/audio/transcriptions", recording),
        "speakers": form("/v1/audio/diarization", recording),
        f"both ({MODEL})": form("/v1/audio/transcriptions", recording, response_format="diarized_json"),
    }
