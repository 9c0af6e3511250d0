"""The decoder, on files that are right, odd, broken and hostile."""

import struct
import wave
import zlib
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from recordings import encoded, tone

from whisperd.engine import Cancelled, confined
from whisperd.engine.allowance import Allowance
from whisperd.engine.confined import End
from whisperd.engine.decode import Decoder
from whisperd.errors import MediaError, TooLong, Unavailable
from whisperd.protocol import Decoded, DecodeJob, DecodeSetup

DECODER = Decoder(DecodeSetup(concurrency=1, max_duration_s=60))


def decode(
    source: Path, decoder: Decoder = DECODER
) -> tuple[Decoded, np.ndarray[tuple[int], np.dtype[np.float32]]]:
    target = source.with_name("decoded.f32")
    result = decoder.run(DecodeJob(str(source), str(target)), lambda *_: None, lambda: False)
    return result, np.fromfile(target, np.float32)


def frequency_hz(samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum)) * 16_000 / len(samples)


@pytest.mark.parametrize("rate_hz", [7_350, 8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_number_of_channels_becomes_16_khz_mono(
    tmp_path: Path, rate_hz: int, channels: int
) -> None:
    decoded, samples = decode(tone(tmp_path / "a.wav", rate_hz=rate_hz, channels=channels))
    assert decoded.samples == len(samples) == pytest.approx(16_000, abs=40)
    assert (decoded.source_rate_hz, decoded.channels) == (rate_hz, channels)
    assert frequency_hz(samples) == pytest.approx(440, abs=2)
    assert not decoded.truncated


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp3", "libmp3lame"),
        ("a.flac", "flac"),
        ("a.ogg", "libopus"),
        ("a.opus", "libopus"),
        ("a.m4a", "aac"),
        ("a.mp4", "aac"),
        ("a.webm", "libopus"),
        ("a.mkv", "flac"),
        ("a.aac", "aac"),
        ("a.aiff", "pcm_s16be"),
        ("a.caf", "pcm_s16le"),
        ("a.au", "pcm_s16be"),
        ("a.avi", "libmp3lame"),
        ("a.ts", "aac"),
    ],
)
def test_every_container_that_is_named_is_decoded_whatever_the_file_is_called(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = encoded(tmp_path / name, codec).rename(tmp_path / "upload")
    decoded, samples = decode(path)
    assert frequency_hz(samples) == pytest.approx(440, abs=2)
    assert decoded.samples == pytest.approx(16_000, rel=0.1)
    assert not decoded.truncated


def test_a_recording_that_is_16_khz_mono_float_already_is_taken_as_it_is(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=16_000, layout="mono")
        ramp = np.linspace(-1, 1, 16_000, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(ramp[None, :], format="flt", layout="mono")
        frame.sample_rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    decoded, samples = decode(tmp_path / "a.wav")
    assert decoded.samples == 16_000
    np.testing.assert_array_equal(samples, ramp)


def test_a_recording_whose_rate_changes_on_the_way_is_decoded_to_its_end(tmp_path: Path) -> None:
    parts = [encoded(tmp_path / f"{rate}.aac", "aac", seconds=2, rate_hz=rate) for rate in (48_000, 32_000)]
    (tmp_path / "a.aac").write_bytes(b"".join(part.read_bytes() for part in parts))
    decoded, samples = decode(tmp_path / "a.aac")
    assert decoded.samples == pytest.approx(4 * 16_000, rel=0.05)
    assert frequency_hz(samples[-24_000:]) == pytest.approx(440, abs=2)


def test_a_wav_file_that_carries_another_codec_as_pcm_is_not_decoded_to_noise(tmp_path: Path) -> None:
    stream = encoded(tmp_path / "a.ac3", "ac3").read_bytes()
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, 44_100, 0, "NONE", ""))
        file.writeframes(stream)
    decoded, samples = decode(tmp_path / "a.wav")
    assert decoded.codec == "ac3"
    assert frequency_hz(samples) == pytest.approx(440, abs=2)


def test_the_sound_of_a_video_is_decoded(tmp_path: Path) -> None:
    _, samples = decode(encoded(tmp_path / "a.mp4", "aac", picture=True))
    assert frequency_hz(samples) == pytest.approx(440, abs=2)


def test_a_video_without_sound_is_named_as_such(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match="no sound"):
        decode(tmp_path / "a.mp4")


@pytest.mark.parametrize("seconds", [0.01, 0.1])
def test_a_very_short_recording_is_decoded(tmp_path: Path, seconds: float) -> None:
    decoded, _ = decode(tone(tmp_path / "a.wav", seconds=seconds))
    assert decoded.samples == round(16_000 * seconds)


def test_a_wav_file_without_samples_holds_no_sound(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no sound"):
        decode(tone(tmp_path / "a.wav", seconds=0))


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.wav", "pcm_s16le"), ("a.flac", "flac"), ("a.mkv", "flac"), ("a.aiff", "pcm_s16be")],
)
def test_a_recording_that_was_cut_off_is_decoded_as_far_as_it_goes_and_says_so(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = encoded(tmp_path / name, codec, seconds=4)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    decoded, samples = decode(path)
    assert decoded.truncated
    assert 16_000 < len(samples) < 3 * 16_000


def test_streams_that_begin_on_the_way_do_not_spoil_the_recording(tmp_path: Path) -> None:
    source = encoded(tmp_path / "first.ts", "aac", seconds=5.0)
    late = tmp_path / "late.ts"
    places = {"mpegts_start_pid": "1000", "mpegts_pmt_start_pid": "4000"}
    with av.open(str(late), "w", options=places) as container:
        for stream in [container.add_stream("mp2", rate=16_000, layout="mono") for _ in range(40)]:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
    joined = tmp_path / "joined.ts"
    joined.write_bytes(source.read_bytes() + late.read_bytes())
    assert len(decode(joined)[1]) == pytest.approx(5.0 * 16_000, rel=0.02)


def test_a_recording_with_a_damaged_middle_keeps_its_end_and_says_so(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.flac", "flac", seconds=4)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = b"\xff" * 3000
    path.write_bytes(data)
    decoded, samples = decode(path)
    assert decoded.truncated
    assert len(samples) > 2 * 16_000


def test_an_mp4_file_without_its_index_is_no_recording(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.mp4", "aac", seconds=4)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match="can be decoded"):
        decode(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"RIFF",
        b"hello, this is text and no sound at all " * 100,
        b"\x7fELF" + bytes(range(256)) * 20,
        b"%PDF-1.4\n" + b"1 0 obj\n" * 50,
        b"ffconcat version 1.0\nfile victim.wav\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4 RTP/AVP 0\r\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nvictim.wav\n#EXT-X-ENDLIST\n",
    ],
)
def test_what_is_no_recording_is_refused_without_a_word_of_the_server(tmp_path: Path, content: bytes) -> None:
    tone(tmp_path / "victim.wav")
    (tmp_path / "upload").write_bytes(content)
    with pytest.raises(MediaError) as raised:
        decode(tmp_path / "upload")
    assert str(tmp_path) not in raised.value.message
    assert "mp3" in raised.value.message


def test_a_recording_longer_than_the_limit_is_refused_before_and_while_it_is_decoded(tmp_path: Path) -> None:
    decoder = Decoder(DecodeSetup(concurrency=1, max_duration_s=1.5))
    with pytest.raises(TooLong, match=r"1\.5 seconds"):
        decode(tone(tmp_path / "a.wav", seconds=2), decoder)
    # A stream without a header says nothing beforehand.
    with pytest.raises(TooLong):
        decode(encoded(tmp_path / "a.aac", "aac", seconds=2), decoder)


def test_a_cancelled_job_ends(tmp_path: Path) -> None:
    source = tone(tmp_path / "a.wav", seconds=2)
    with pytest.raises(Cancelled):
        DECODER.run(DecodeJob(str(source), str(tmp_path / "b")), lambda *_: None, lambda: True)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wav_file_that_was_written_to_a_pipe_is_not_called_cut_off(tmp_path: Path, size: int) -> None:
    path = tone(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = size.to_bytes(4, "little")
    path.write_bytes(data)
    if size:
        decoded, _ = decode(path)
        assert not decoded.truncated


def test_a_full_disk_is_not_the_recordings_fault(tmp_path: Path) -> None:
    source = tone(tmp_path / "a.wav")
    with pytest.raises(Unavailable, match="no room"):
        DECODER.run(DecodeJob(str(source), "/dev/full"), lambda *_: None, lambda: False)


# ---- hostile -------------------------------------------------------------------------------------


def _wav(rate_hz: int, channels: int = 1, samples: int = 16_000) -> bytes:
    data = b"\1\2" * samples
    frame = max(1, 2 * channels)
    layout = struct.pack("<HHIIHH", 1, channels, rate_hz, min(rate_hz * frame, 2**32 - 1), frame, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + layout
        + b"data"
        + struct.pack("<I", len(data))
        + data
    )


@pytest.mark.parametrize("rate_hz", [1, 7, 100, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_refused(tmp_path: Path, rate_hz: int) -> None:
    (tmp_path / "a.wav").write_bytes(_wav(rate_hz))
    decoder = Decoder(DecodeSetup(concurrency=1, max_duration_s=43_200))
    with pytest.raises(MediaError, match="samples a second"):
        decode(tmp_path / "a.wav", decoder)


@pytest.mark.parametrize("channels", [9, 64, 255])
def test_channels_that_nobody_could_mix_are_told(tmp_path: Path, channels: int) -> None:
    (tmp_path / "a.wav").write_bytes(_wav(16_000, channels, samples=160_000))
    with pytest.raises(MediaError, match="mix them down"):
        decode(tmp_path / "a.wav")


def test_the_picture_on_a_cover_is_not_looked_at(tmp_path: Path) -> None:
    """It would be 12000 pixels wide and as high, of 100 kB."""
    size = 12_000
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + 3 * size)) for _ in range(size)) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    body = b"\3image/png\0\3\0" + picture

    def seven_bits(number: int) -> bytes:
        return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))

    frame = b"APIC" + seven_bits(len(body)) + b"\0\0" + body
    sound = encoded(tmp_path / "a.mp3", "libmp3lame").read_bytes()
    (tmp_path / "a.mp3").write_bytes(b"ID3\4\0\0" + seven_bits(len(frame)) + frame + sound)
    before = psutil.Process().memory_info().rss
    decoded = confined.run(
        DECODER.run,
        DecodeJob(str(tmp_path / "a.mp3"), str(tmp_path / "b")),
        # Decoded, it would be 432 MB, and as much again on the way.
        Allowance(recordings=1, size_bytes=0, longest_s=60, stall_s=60),
        lambda *_: None,
        lambda: False,
        ended=(ends := list[End]()).append,
    )
    assert decoded.codec == "mp3float"
    # It begins with what this process has.
    assert ends[0].peak_bytes < before + 300e6


def test_a_file_of_thousands_of_streams_is_no_recording(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("<I", len(body)) + body

    head = chunk(b"strh", b"auds" + bytes(16) + struct.pack("<II", 1, 8000) + bytes(20))
    stream = head + chunk(b"strf", struct.pack("<HHIIHH", 1, 1, 8000, 16_000, 2, 16))
    streams = chunk(b"LIST", b"strl" + stream) * 5000
    movie = chunk(b"LIST", b"movi" + chunk(b"00wb", bytes(2000)) * 100)
    listed = chunk(b"LIST", b"hdrl" + chunk(b"avih", bytes(56)) + streams)
    (tmp_path / "a.avi").write_bytes(b"RIFF" + struct.pack("<I", 2**31 - 1) + b"AVI " + listed + movie)
    with pytest.raises(MediaError, match="can be decoded"):
        decode(tmp_path / "a.avi")


def test_sound_that_no_decoder_is_known_for_is_refused(tmp_path: Path) -> None:
    data = bytearray(_wav(16_000))
    data[20:22] = b"\x34\x12"  # the codec's number
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(MediaError, match="can be decoded"):
        decode(tmp_path / "a.wav")
