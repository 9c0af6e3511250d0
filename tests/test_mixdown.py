"""Mixing, heard by decoding what was written."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from listening import heard
from recordings import encoded, tone

from whisperd.engine import Cancelled
from whisperd.engine.mixdown import Mixer
from whisperd.errors import MediaError, ParameterError, TooLong
from whisperd.protocol import DecodeSetup, Encoded, MixJob

LAME = 0.95
"""LAME turns everything down by so much, to leave room for what its own coding adds."""

MIXER = Mixer(DecodeSetup(concurrency=1, max_duration_s=60))


def mix(
    directory: Path,
    sources: Sequence[Path],
    delays_s: Sequence[float] | None = None,
    sample_rate_hz: int | None = None,
) -> tuple[Encoded, Path]:
    target = directory / "mixed"
    delays = [0.0] * len(sources) if delays_s is None else list(delays_s)
    job = MixJob([str(source) for source in sources], str(target), delays, sample_rate_hz)
    return MIXER.run(job, lambda *_: None, lambda: False), target


def test_tracks_of_three_rates_and_both_numbers_of_channels_are_all_there(tmp_path: Path) -> None:
    tracks = [
        tone(tmp_path / "a.wav", seconds=3, rate_hz=44_100, channels=2, amplitude=0.2, frequency_hz=440),
        tone(tmp_path / "b.wav", seconds=3, rate_hz=48_000, channels=1, amplitude=0.25, frequency_hz=1000),
        tone(tmp_path / "c.wav", seconds=3, rate_hz=16_000, channels=1, amplitude=0.15, frequency_hz=2000),
    ]
    written, target = mix(tmp_path, tracks)
    sound = heard(target)
    assert (sound.container, sound.codec, sound.rate_hz, sound.channels) == ("mp3", "mp3float", 44_100, 2)
    for channel in (0, 1):
        levels = [sound.level(frequency, 0.5, 2.5, channel) for frequency in (440, 1000, 2000)]
        assert levels == pytest.approx([LAME * level for level in (0.2, 0.25, 0.15)], rel=0.02)
    assert written.duration_s == pytest.approx(3.0, abs=0.001)
    assert sound.seconds == pytest.approx(3.0, abs=0.06)


def test_each_track_begins_after_its_delay_and_the_last_to_end_makes_the_length(tmp_path: Path) -> None:
    tracks = [
        tone(tmp_path / "a.wav", seconds=2, frequency_hz=440),
        tone(tmp_path / "b.wav", seconds=1, rate_hz=48_000, frequency_hz=1000),
        encoded(tmp_path / "c.ogg", "libopus", seconds=0.5),
    ]
    written, target = mix(tmp_path, tracks, [0.0, 2.5, 1.25], 48_000)
    sound = heard(target)
    assert written.duration_s == pytest.approx(3.5, abs=0.001)
    assert sound.level(1000, 0.1, 2.4) < 0.005
    assert sound.level(1000, 2.6, 3.4) == pytest.approx(LAME * 0.3, rel=0.02)
    assert sound.peak(2.1, 2.4) < 0.02
    assert sound.level(440, 0.2, 1.2) == pytest.approx(LAME * 0.3, rel=0.02)
    assert sound.peak(1.3, 1.7) > 1.3 * sound.peak(0.2, 1.2)


def test_a_track_alone_begins_where_its_delay_ends(tmp_path: Path) -> None:
    _, target = mix(tmp_path, [tone(tmp_path / "a.wav", rate_hz=48_000)], [2.0])
    assert heard(target).first_sound_s() == pytest.approx(2.0, abs=0.005)


def test_a_sum_below_full_scale_keeps_its_level(tmp_path: Path) -> None:
    tracks = [tone(tmp_path / f"{name}.wav", seconds=2, rate_hz=48_000, amplitude=0.3) for name in "abc"]
    _, target = mix(tmp_path, tracks)
    assert heard(target).level(440, 0.5, 1.5) == pytest.approx(LAME * 0.9, rel=0.02)


def test_a_sum_above_full_scale_is_turned_down_and_neither_wrapped_nor_clipped(tmp_path: Path) -> None:
    tracks = [tone(tmp_path / f"{name}.wav", seconds=3, rate_hz=48_000, amplitude=0.8) for name in "ab"]
    _, target = mix(tmp_path, tracks)
    sound = heard(target)
    assert sound.level(440, 1, 2) == pytest.approx(LAME, rel=0.02)
    # A sine of 1.6 that is clipped at 1 has a third harmonic of about 0.17.
    assert sound.level(3 * 440, 1, 2) < 0.005


@pytest.mark.parametrize(
    ("rate_hz", "becomes"), [(7_350, 8_000), (16_000, 16_000), (44_100, 44_100), (96_000, 48_000)]
)
def test_the_first_tracks_rate_is_kept_where_mp3_can_carry_it(
    tmp_path: Path, rate_hz: int, becomes: int
) -> None:
    tracks = [tone(tmp_path / "a.wav", rate_hz=rate_hz), tone(tmp_path / "b.wav", rate_hz=22_050)]
    assert heard(mix(tmp_path, tracks)[1]).rate_hz == becomes


def test_a_rate_that_is_asked_for_is_given_although_no_track_has_it(tmp_path: Path) -> None:
    _, target = mix(tmp_path, [tone(tmp_path / "a.wav", rate_hz=48_000)], sample_rate_hz=24_000)
    sound = heard(target)
    assert sound.rate_hz == 24_000
    assert sound.level(440, 0.2, 0.8) == pytest.approx(0.3, rel=0.06)


@pytest.mark.parametrize("rate_hz", [0, -1, 22_000, 96_000])
def test_a_rate_that_mp3_can_not_carry_is_refused_with_those_that_it_can(
    tmp_path: Path, rate_hz: int
) -> None:
    with pytest.raises(ParameterError, match=rf"{rate_hz}; it can be 8000, .*44100, 48000"):
        mix(tmp_path, [tone(tmp_path / "a.wav")], sample_rate_hz=rate_hz)


def test_a_track_whose_rate_changes_on_the_way_is_mixed_to_its_end(tmp_path: Path) -> None:
    parts = [encoded(tmp_path / f"{rate}.aac", "aac", seconds=2, rate_hz=rate) for rate in (48_000, 32_000)]
    track = tmp_path / "a.aac"
    track.write_bytes(b"".join(part.read_bytes() for part in parts))
    written, target = mix(tmp_path, [track])
    assert written.duration_s == pytest.approx(4.0, abs=0.15)
    assert heard(target).level(440, 2.5, 3.5) == pytest.approx(
        LAME * heard(parts[1]).level(440, 0.5, 1.5), rel=0.02
    )


def test_a_track_that_can_not_be_decoded_is_named_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"no sound at all " * 100)
    with pytest.raises(MediaError, match="track 2: the file is not a recording"):
        mix(tmp_path, [tone(tmp_path / "a.wav"), tmp_path / "b"])


def test_a_track_longer_than_the_limit_is_named_by_its_number(tmp_path: Path) -> None:
    mixer = Mixer(DecodeSetup(concurrency=1, max_duration_s=1.5))
    track = encoded(tmp_path / "a.aac", "aac", seconds=2)
    with pytest.raises(TooLong, match=r"track 1: .*1\.5 seconds"):
        mixer.run(MixJob([str(track)], str(tmp_path / "mixed"), [0.0], None), lambda *_: None, lambda: False)


def test_nothing_can_not_be_mixed(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no recordings"):
        mix(tmp_path, [])


@pytest.mark.parametrize("after_s", [0, 2, 7])
def test_a_cancelled_job_ends_wherever_it_is(tmp_path: Path, after_s: int) -> None:
    tracks = [str(tone(tmp_path / f"{name}.wav", seconds=30)) for name in "ab"]
    positions: list[float] = []
    with pytest.raises(Cancelled):
        MIXER.run(
            MixJob(tracks, str(tmp_path / "mixed"), [0.0, 5.0], None),
            lambda position_s, *_: positions.append(position_s),
            lambda: len(positions) >= after_s,
        )
    assert after_s <= len(positions) <= after_s + 1
