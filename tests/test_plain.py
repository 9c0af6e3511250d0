"""WAV files of what the model takes already need no process of their own, and are told from all others."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recordings import encoded, tone

from whisperd.engine import plain
from whisperd.engine.decode import Decoder
from whisperd.engine.recordings import Recordings
from whisperd.errors import Unavailable
from whisperd.protocol import Decoded, DecodeJob, DecodeSetup

SETUP = DecodeSetup(concurrency=1, max_duration_s=600)


def taken(source: Path, *, max_duration_s: float = 600) -> Decoded | None:
    return plain.taken(DecodeJob(str(source), str(source.with_name("taken"))), max_duration_s=max_duration_s)


def changed(change: Callable[[bytearray], object]) -> Callable[[Path], Path]:
    """A maker of a plain file in which something is otherwise."""

    def make(directory: Path) -> Path:
        source = tone(directory / "a.wav")
        data = bytearray(source.read_bytes())
        change(data)
        source.write_bytes(data)
        return source

    return make


def test_it_is_what_a_decoder_makes_of_it_to_the_last_bit(tmp_path: Path) -> None:
    source = tone(tmp_path / "a.wav")
    data = bytearray(source.read_bytes())
    noise = np.random.default_rng(0).integers(-(2**15), 2**15, 16_000).astype("<i2")
    noise[:2] = -(2**15), 2**15 - 1
    data[44:] = noise.tobytes()
    source.write_bytes(data)
    target = tmp_path / "decoded"
    decoded = Decoder(SETUP).run(DecodeJob(str(source), str(target)), lambda *_: None, lambda: False)
    assert taken(source) == decoded
    assert (tmp_path / "taken").read_bytes() == target.read_bytes()


OTHERS: dict[str, Callable[[Path], Path]] = {
    "two channels": lambda directory: tone(directory / "a.wav", channels=2),
    "another rate": lambda directory: tone(directory / "a.wav", rate_hz=8000),
    "nothing in it": lambda directory: tone(directory / "a.wav", seconds=0),
    "no byte": changed(lambda data: data.clear()),
    "MP3": lambda directory: encoded(directory / "a.mp3", "libmp3lame"),
    "more than is read at once": lambda directory: tone(directory / "a.wav", seconds=132, amplitude=0),
    "not there": lambda directory: directory / "a.wav",
    "8 bits": changed(lambda data: struct.pack_into("<H", data, 34, 8)),
    "floating point": changed(lambda data: struct.pack_into("<H", data, 20, 3)),
    "big-endian": changed(lambda data: data.__setitem__(slice(4), b"RIFX")),
    "cut": changed(lambda data: data.__delitem__(slice(-2, None))),
    "cut in a sample": changed(lambda data: data.__delitem__(slice(-1, None))),
    "something behind it": changed(lambda data: data.extend(b"LIST\4\0\0\0INFO")),
    "something before it": changed(lambda data: data.__setitem__(slice(36, 36), b"LIST\4\0\0\0INFO")),
    "written to a pipe": changed(lambda data: struct.pack_into("<I", data, 40, 2**32 - 1)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_any_other_file_is_left_to_a_decoder(tmp_path: Path, what: str) -> None:
    assert taken(OTHERS[what](tmp_path)) is None
    assert not (tmp_path / "taken").exists()


def test_one_that_is_too_long_is_left_to_be_refused(tmp_path: Path) -> None:
    source = tone(tmp_path / "a.wav", seconds=2)
    assert taken(source, max_duration_s=2)
    assert taken(source, max_duration_s=1.99) is None


def test_a_full_disk_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no room"):
        plain.taken(DecodeJob(str(tone(tmp_path / "a.wav")), "/dev/full"), max_duration_s=600)


def test_no_process_is_started_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise ChildProcessError

    monkeypatch.setattr(os, "fork", fork)
    engine = Recordings(SETUP)
    target = str(tmp_path / "b")
    engine.run(DecodeJob(str(tone(tmp_path / "a.wav")), target), lambda *_: None, lambda: False)
    with pytest.raises(ChildProcessError):
        engine.run(
            DecodeJob(str(encoded(tmp_path / "a.mp3", "libmp3lame")), target), lambda *_: None, lambda: False
        )
