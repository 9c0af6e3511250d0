"""Recordings: clips that all say something else, a long one, and what is none."""

import io
import random
import wave
from dataclasses import dataclass
from typing import Final

import av
from recordings import conversation
from torture.clips import clips

LONG: Final = "long"
_TIMES: Final = 6
"""The conversation in the long recording, which makes 3 minutes."""
_PACKED: Final = ("flac", "mka")
_GARBAGE_BYTES: Final = 50_000


@dataclass(frozen=True)
class Recording:
    """A file, and whose words are in it."""

    says: str
    """The name of the reference; empty where nothing is said."""
    filename: str
    data: bytes


class Material:
    """All that is sent. Nothing of it is lossy, so that a clip has the same words in each container."""

    def __init__(self) -> None:
        self.clips = [Recording(clip.name, f"{clip.name}.wav", clip.wav) for clip in clips()]
        self.packed = [
            Recording(clip.says, f"{clip.says}.{ending}", _flac(clip.data, ending))
            for clip in self.clips
            for ending in _PACKED
        ]
        self.long = Recording(LONG, "long.flac", _flac(_long(), "flac"))

    def clip(self, chance: random.Random) -> Recording:
        """A short one, in one of the containers."""
        return chance.choice(self.clips if chance.random() < 0.6 else self.packed)

    def bad(self, chance: random.Random) -> Recording:
        """One that can't be decoded."""
        garbage = chance.randbytes(_GARBAGE_BYTES)
        return chance.choice(
            (
                Recording("", "garbage.mp3", garbage),
                Recording("", "half.wav", b"RIFF" + garbage),
                Recording("", "headless.flac", self.long.data[chance.randrange(1000, 5000) :][:20_000]),
                Recording("", "empty.wav", b""),
                Recording("", "text.ogg", b"no recording, " * 100),
                Recording("", "list.wav", b"ffconcat version 1.0\nfile '/etc/passwd'\n"),
                Recording("", "session.mp4", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n"),
                Recording("", "list.m4a", b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n"),
            )
        )


def _long() -> bytes:
    file = io.BytesIO()
    with wave.open(str(conversation()), "rb") as source, wave.open(file, "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(source.getnframes()) * _TIMES)
    return file.getvalue()


def _flac(wav: bytes, ending: str) -> bytes:
    """The same samples, in the container of this ending."""
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(wav)) as source,
        av.open(file, "w", format={"mka": "matroska"}.get(ending, ending)) as target,
    ):
        stream = target.add_stream("flac", rate=source.streams.audio[0].rate, layout="mono")
        for frame in source.decode(audio=0):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return file.getvalue()
