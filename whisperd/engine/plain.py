"""Short recordings in which there is nothing to decode: plain WAV files of what the model takes.

One channel of 16 bits, 16,000 times a second, is what speech is mostly sent as by programs, often a few
seconds of it. A process of its own would take longer for such a file than all else that is done before the
model, and nothing here depends on what the file's bytes are, but for the 44 of its header, which have to be
those of such a file to the last bit.
"""

import struct
from pathlib import Path
from typing import Final

import numpy as np

from whisperd.engine.room import needing_room
from whisperd.protocol import SAMPLE_RATE_HZ, Decoded, DecodeJob

_MAX_BYTES: Final = 2**22
"""Two minutes. In a longer one a process of its own costs nothing that shows."""
_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_PCM: Final = 1
_SAMPLE_BYTES: Final = 2
_FULL_SCALE: Final = np.float32(2**15)


def taken(job: DecodeJob, *, max_duration_s: float) -> Decoded | None:
    """What a decoder would make of such a file; None for any other, and for one that is cut or too long.

    Raises Unavailable when the disk is full.
    """
    try:
        with Path(job.source).open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    samples = (len(data) - _HEADER.size) // _SAMPLE_BYTES
    if not 0 < samples <= max_duration_s * SAMPLE_RATE_HZ or data[: _HEADER.size] != _header(samples):
        return None
    values = np.frombuffer(data, "<i2", samples, _HEADER.size)
    with needing_room():
        Path(job.target).write_bytes((values / _FULL_SCALE).tobytes())
    return Decoded(
        samples=samples, container="wav", codec="pcm_s16le", source_rate_hz=SAMPLE_RATE_HZ, channels=1
    )


def _header(samples: int) -> bytes:
    size = samples * _SAMPLE_BYTES
    pcm = (_PCM, 1, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * _SAMPLE_BYTES, _SAMPLE_BYTES, 8 * _SAMPLE_BYTES)
    return _HEADER.pack(b"RIFF", _HEADER.size - 8 + size, b"WAVE", b"fmt ", 16, *pcm, b"data", size)
