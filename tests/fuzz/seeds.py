"""Small recordings in every container that is allowed, made anew each time."""

from pathlib import Path

from recordings import encoded, tone

_MADE = (
    ("mp3", "libmp3lame"),
    ("flac", "flac"),
    ("ogg", "libopus"),
    ("ogg", "flac"),
    ("m4a", "aac"),
    ("m4a", "alac"),
    ("mov", "pcm_s16le"),
    ("webm", "libopus"),
    ("mkv", "pcm_f32le"),
    ("mkv", "ac3"),
    ("aac", "aac"),
    ("aiff", "pcm_s16be"),
    ("caf", "pcm_s16le"),
    ("au", "pcm_mulaw"),
    ("avi", "libmp3lame"),
    ("ts", "aac"),
    ("ts", "mp2"),
    ("asf", "wmav2"),
    ("wav", "pcm_s24le"),
    ("wav", "adpcm_ms"),
    ("w64", "pcm_s16le"),
)
_SECONDS = 0.4


def make(directory: Path) -> dict[str, bytes]:
    """The recordings by their names, such as `ogg-libopus`."""
    made = {}
    for ending, codec in _MADE:
        bit_rate = 64_000 if codec.startswith("wma") else 0
        path = encoded(directory / f"seed.{ending}", codec, seconds=_SECONDS, bit_rate=bit_rate)
        made[f"{ending}-{codec}"] = path.read_bytes()
    video = encoded(directory / "seed.mp4", "aac", seconds=_SECONDS, picture=True)
    return made | {
        "mp4-with-video": video.read_bytes(),
        "amr": b"#!AMR\n" + (b"\x3c" + bytes(range(31))) * 20,
        "wav-8-channels": tone(directory / "seed.wav", seconds=_SECONDS, channels=8).read_bytes(),
    }
