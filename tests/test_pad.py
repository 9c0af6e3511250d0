"""Padding, heard by decoding what was written."""

from pathlib import Path

import av
import pytest
from listening import heard
from recordings import encoded, tone

from whisperd.engine import Cancelled
from whisperd.engine.pad import Padder
from whisperd.errors import MediaError, TooLong
from whisperd.protocol import DecodeSetup, Encoded, PadJob

PADDER = Padder(DecodeSetup(concurrency=1, max_duration_s=60))


def pad(source: Path, silence_s: float, padder: Padder = PADDER) -> tuple[Encoded, Path]:
    target = source.with_name("padded")
    job = PadJob(str(source), str(target), silence_s)
    return padder.run(job, lambda *_: None, lambda: False), target


@pytest.mark.parametrize(
    ("name", "codec"), [("a.webm", "libopus"), ("a.ogg", "libopus"), ("a.mp3", "libmp3lame")]
)
def test_a_track_comes_after_its_silence_whatever_its_container_and_name(
    tmp_path: Path, name: str, codec: str
) -> None:
    source = encoded(tmp_path / name, codec, seconds=2).rename(tmp_path / "track")
    written, target = pad(source, 1.5)
    sound = heard(target)
    assert sound.first_sound_s() == pytest.approx(1.5, abs=0.03)
    assert sound.peak(0.0, 1.45) < 0.01
    assert sound.level(440, 1.7, 3.3) == pytest.approx(heard(source).level(440, 0.2, 1.8), rel=0.05)
    assert written.duration_s == pytest.approx(sound.seconds, abs=0.03) == pytest.approx(3.5, abs=0.06)


def test_the_result_is_webm_with_stereo_opus_at_48_khz_and_about_128_kb_a_second(tmp_path: Path) -> None:
    _, target = pad(tone(tmp_path / "a.wav", seconds=20, rate_hz=44_100, channels=2), 0.5)
    sound = heard(target)
    assert sound.container == "matroska,webm"
    assert (sound.codec, sound.rate_hz, sound.channels) == ("opus", 48_000, 2)
    assert target.stat().st_size * 8 / 20 == pytest.approx(128_000, rel=0.25)


def test_a_single_channel_is_as_loud_on_both_sides_as_it_was(tmp_path: Path) -> None:
    _, target = pad(tone(tmp_path / "a.wav", seconds=2, channels=1, amplitude=0.4), 0.0)
    sound = heard(target)
    assert [sound.level(440, 0.5, 1.5, channel) for channel in (0, 1)] == pytest.approx([0.4, 0.4], rel=0.05)


@pytest.mark.parametrize(("silence_s", "samples"), [(0.001, 48), (0.0019, 48), (0.0009, 0), (2.5, 120_000)])
def test_the_silence_is_in_whole_milliseconds(tmp_path: Path, silence_s: float, samples: int) -> None:
    written, _ = pad(tone(tmp_path / "a.wav", rate_hz=48_000), silence_s)
    assert round(written.duration_s * 48_000) == 48_000 + samples


def test_a_file_without_audio_is_told_in_the_words_that_clients_know(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError) as raised:
        pad(tmp_path / "a.mp4", 1)
    assert raised.value.message == "No audio stream in input"


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no sound at all " * 100)
    with pytest.raises(MediaError, match="can be decoded"):
        pad(tmp_path / "a", 1)


def test_a_track_longer_than_the_limit_is_refused_before_and_while_it_is_read(tmp_path: Path) -> None:
    padder = Padder(DecodeSetup(concurrency=1, max_duration_s=1.5))
    with pytest.raises(TooLong, match=r"1\.5 seconds"):
        pad(tone(tmp_path / "a.wav", seconds=2), 0, padder)
    with pytest.raises(TooLong):  # a stream without a header says nothing beforehand
        pad(encoded(tmp_path / "a.aac", "aac", seconds=2), 0, padder)


def test_progress_is_told_each_second_of_silence_too(tmp_path: Path) -> None:
    source = tone(tmp_path / "a.wav", seconds=2)
    positions: list[float] = []
    PADDER.run(
        PadJob(str(source), str(tmp_path / "b"), 3.0),
        lambda position_s, *_: positions.append(position_s),
        lambda: False,
    )
    assert positions[:3] == [1.0, 2.0, 3.0]
    assert len(positions) in (4, 5)


@pytest.mark.parametrize("after_s", [2, 5])
def test_a_cancelled_job_ends_in_the_silence_and_in_the_track(tmp_path: Path, after_s: int) -> None:
    source = tone(tmp_path / "a.wav", seconds=30)
    positions: list[float] = []
    with pytest.raises(Cancelled):
        PADDER.run(
            PadJob(str(source), str(tmp_path / "b"), 3.0),
            lambda position_s, *_: positions.append(position_s),
            lambda: len(positions) >= after_s,
        )
    assert len(positions) == after_s
