"""The whole path, real: a daemon, real weights, real recordings, real clients."""

import concurrent.futures
import csv
import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import jiwer
import openai
import pytest
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from recordings import CORPUS, conversation, encoded, package_file, tone
from running import Daemon, eventually, freeze, models_installed

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    models_installed("tiny.en", "diarization")
    settings = {"WHISPERD_LIMITS__DURATION": "5min", "WHISPERD_LIMITS__UPLOAD": "20MB"}
    with Daemon(tmp_path_factory.mktemp("daemon"), settings) as daemon:
        yield daemon


def normal(text: str) -> str:
    return re.sub(r"[^a-z' ]", "", text.lower().replace("-", " "))


def word_error_rate(reference: str, hypothesis: str) -> float:
    return float(jiwer.wer(" ".join(normal(reference).split()), " ".join(normal(hypothesis).split())))


def read_rttm(text: str) -> Annotation:
    annotation = Annotation()
    for line in text.splitlines():
        _, _, _, start, duration, _, _, speaker, *_ = line.split()
        annotation[Segment(float(start), float(start) + float(duration)), speaker + start] = speaker
    return annotation


# ---- words ---------------------------------------------------------------------------------------


def test_a_conversation_is_transcribed_with_few_errors(daemon: Daemon) -> None:
    lines = package_file("pyannote.audio", "sample", "sample.stm").read_text(encoding="utf-8").splitlines()
    reference = " ".join(line.split(maxsplit=5)[5] for line in lines if not line.startswith(";"))
    text = daemon.transcribe(conversation(), response_format="text").text
    assert word_error_rate(re.sub(r"<[^>]*>|\([^)]*\)", "", reference), text) < 0.25


@pytest.mark.skipif(not CORPUS.is_dir(), reason="needs the recordings with references beside the repository")
def test_read_sentences_are_transcribed_with_few_errors(daemon: Daemon) -> None:
    table = (CORPUS / "speech" / "transcripts.tsv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(table), delimiter="\t"))
    texts = [daemon.transcribe(CORPUS / "speech" / row["file"]).json()["text"] for row in rows]
    assert word_error_rate(" ".join(row["text"] for row in rows), " ".join(texts)) < 0.12


def test_words_have_times_in_order(daemon: Daemon) -> None:
    reply = daemon.transcribe(
        conversation(),
        response_format="verbose_json",
        **{"timestamp_granularities[]": ["word", "segment"]},
    ).json()
    starts = [word["start"] for word in reply["words"]]
    assert len(starts) > 50
    assert starts == sorted(starts)
    assert all(0 <= word["start"] <= word["end"] <= reply["duration"] for word in reply["words"])
    assert reply["language"] == "english"
    assert reply["duration"] == pytest.approx(30, abs=0.1)
    assert (
        normal("".join(segment["text"] for segment in reply["segments"])).split()
        == normal(reply["text"]).split()
    )


# ---- speakers ------------------------------------------------------------------------------------


def test_who_spoke_when_is_told_with_few_errors(daemon: Daemon) -> None:
    reference = read_rttm(package_file("pyannote.audio", "sample", "sample.rttm").read_text(encoding="utf-8"))
    reply = daemon.post("/v1/audio/diarization", conversation(), response_format="rttm")
    whole = Timeline([Segment(0, 30)])
    assert DiarizationErrorRate()(reference, read_rttm(reply.text), uem=whole) < 0.08


def test_one_call_gives_words_and_speakers(daemon: Daemon) -> None:
    reply = daemon.transcribe(
        conversation(),
        response_format="verbose_json",
        diarize="true",
        **{"timestamp_granularities[]": ["word", "segment"]},
    ).json()
    assert {word["speaker"] for word in reply["words"]} == {"SPEAKER_00", "SPEAKER_01"}
    assert {segment["speaker"] for segment in reply["segments"]} == {"SPEAKER_00", "SPEAKER_01"}
    assert "warnings" not in reply


def test_the_number_of_speakers_can_be_given(daemon: Daemon) -> None:
    reply = daemon.post("/v1/audio/diarization", conversation(), num_speakers="1").json()
    assert reply["speakers"] == ["SPEAKER_00"]


def test_the_openai_sdk_reads_every_format(daemon: Daemon) -> None:
    client = openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="none")
    transcriptions = client.audio.transcriptions
    recording = conversation()
    assert "Chicago" in transcriptions.create(file=recording, model="whisper-1").text
    verbose = transcriptions.create(
        file=recording,
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert verbose.words
    assert verbose.segments
    assert verbose.words[0].start >= 0
    assert "-->" in transcriptions.create(file=recording, model="whisper-1", response_format="srt")
    assert transcriptions.create(file=recording, model="whisper-1", response_format="vtt").startswith(
        "WEBVTT"
    )
    diarized = transcriptions.create(
        file=recording, model="gpt-4o-transcribe-diarize", response_format="diarized_json"
    )
    assert {segment.speaker for segment in diarized.segments} == {"A", "B"}
    with pytest.raises(openai.NotFoundError, match=r"tiny\.en"):
        transcriptions.create(file=recording, model="no-such-model")


def test_the_client_command_prints_who_said_what(daemon: Daemon) -> None:
    done = daemon.command("transcribe", "--speakers", str(conversation()))
    assert done.returncode == 0, done.stderr
    assert {line.split(":")[0] for line in done.stdout.splitlines()} == {"SPEAKER_00", "SPEAKER_01"}


def test_the_werify_reply_has_every_key(daemon: Daemon) -> None:
    reply = daemon.post("/transcribe?language=en&include_segments=true", conversation()).json()
    assert set(reply) == {"text", "language", "duration", "processing_time", "queue_wait_time", "segments"}
    assert reply["language"] == "en"
    assert reply["segments"]
    assert set(reply["segments"][0]) == {"start", "end", "text"}


def test_several_requests_run_at_once(daemon: Daemon) -> None:
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda _: daemon.transcribe(conversation()), range(6)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["text"] for reply in replies}) == 1


# ---- recordings that are none --------------------------------------------------------------------


def test_silence_has_an_empty_transcript(daemon: Daemon, tmp_path: Path) -> None:
    silence = tone(tmp_path / "silence.wav", seconds=5, amplitude=0)
    reply = daemon.transcribe(silence, response_format="verbose_json", diarize="true")
    assert reply.status_code == 200
    assert (reply.json()["text"], reply.json()["segments"]) == ("", [])
    assert daemon.transcribe(silence, response_format="vtt").text.strip() == "WEBVTT"
    assert daemon.post("/transcribe", silence).json()["text"] == ""


def test_a_tenth_of_a_second_is_no_trouble(daemon: Daemon, tmp_path: Path) -> None:
    reply = daemon.transcribe(
        tone(tmp_path / "short.wav", seconds=0.1), response_format="verbose_json", diarize="true"
    )
    assert reply.status_code == 200
    assert reply.json()["duration"] == pytest.approx(0.1)


@pytest.mark.parametrize("content", [b"", b"this is no recording " * 100, b"RIFF\0\0\0\0WAVE"])
@pytest.mark.parametrize("path", ["/transcribe", "/v1/audio/transcriptions", "/v1/audio/diarization"])
def test_what_is_no_recording_is_refused_in_the_callers_dialect(
    daemon: Daemon, tmp_path: Path, path: str, content: bytes
) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    reply = daemon.post(path, tmp_path / "a.wav")
    assert reply.status_code == 400
    error: Any = reply.json()
    message = error["detail"] if path == "/transcribe" else error["error"]["message"]
    assert "empty" in message or "decode" in message or "no sound" in message
    assert str(daemon.directory) not in reply.text


def test_a_recording_that_was_cut_off_says_so(daemon: Daemon, tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.flac", "flac", seconds=4)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reply = daemon.transcribe(path)
    assert [warning["code"] for warning in reply.json()["warnings"]] == ["audio_truncated"]
    assert reply.headers["X-Whisperd-Warnings"] == "audio_truncated"


def test_the_sound_of_a_video_is_transcribed(daemon: Daemon, tmp_path: Path) -> None:
    assert daemon.transcribe(encoded(tmp_path / "a.mp4", "aac", picture=True)).status_code == 200


def test_too_long_and_too_large_are_told_apart(daemon: Daemon, tmp_path: Path) -> None:
    long = daemon.transcribe(tone(tmp_path / "long.wav", seconds=310, rate_hz=8000))
    assert (long.status_code, long.json()["error"]["code"]) == (413, "audio_too_long")
    large = tmp_path / "large.wav"
    large.write_bytes(b"\0" * 22_000_000)
    reply = daemon.transcribe(large)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "file_too_large")


@pytest.mark.parametrize(
    ("form", "param"),
    [({"language": "fr"}, "language"), ({"language": "klingon"}, "language"), ({"model": "large"}, "model")],
)
def test_what_the_model_cannot_do_is_refused(daemon: Daemon, form: dict[str, str], param: str) -> None:
    reply = daemon.transcribe(conversation(), **form)
    assert reply.status_code in (400, 404)
    assert reply.json()["error"]["param"] == param


def test_translation_by_an_english_model_is_refused(daemon: Daemon) -> None:
    reply = daemon.post("/transcribe?task=translate", conversation())
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["query", "task"]


# ---- what becomes of it all ----------------------------------------------------------------------


def test_nothing_stays_in_the_spool(daemon: Daemon) -> None:
    daemon.transcribe(conversation())
    assert daemon.spooled() == []


def test_a_caller_who_leaves_frees_the_engine_and_the_spool(daemon: Daemon, tmp_path: Path) -> None:
    long = tone(tmp_path / "long.wav", seconds=280)
    with pytest.raises(httpx.TimeoutException):
        daemon.transcribe(long, timeout_s=1.5, diarize="true")
    for _ in eventually():
        health = daemon.health()
        if health["running"] == 0 and all(worker["running"] == 0 for worker in health["workers"]):
            break
    assert daemon.spooled() == []
    assert "outcome=cancelled" in daemon.log()


def test_the_log_has_a_line_for_each_request_and_none_of_its_text(daemon: Daemon) -> None:
    before = len(daemon.log())
    daemon.transcribe(conversation(), prompt="a secret prompt")
    line = next(line for line in daemon.log()[before:].splitlines() if "POST /v1/audio" in line)
    for field in ("request_id=", "client=127.0.0.1", "dialect=openai", "audio_s=30", "wall_s=", "speed=",
                  "model=tiny.en", "device=cpu", "outcome=ok"):  # fmt: skip
        assert field in line
    assert "Chicago" not in daemon.log()
    assert "secret" not in daemon.log()


@pytest.mark.parametrize("kind", ["decode", "transcribe", "diarize"])
def test_a_worker_that_is_killed_under_load_costs_no_request(daemon: Daemon, kind: str) -> None:
    before = daemon.restarts(kind)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        replies = [pool.submit(daemon.transcribe, conversation(), diarize="true") for _ in range(3)]
        for _ in eventually():
            workers = {worker["kind"]: worker for worker in daemon.health()["workers"]}
            # The decoder is too quick to be caught at work.
            if workers[kind]["running"] or (kind == "decode" and workers["transcribe"]["running"]):
                break
        daemon.worker(kind).kill()
        assert [reply.result().status_code for reply in replies] == [200] * 3
    for reply in replies:
        assert "warnings" not in reply.result().json()
    for _ in eventually():
        if daemon.restarts(kind) == before + 1 and daemon.health()["ready"]:
            break


def test_health_is_answered_while_the_engines_are_busy(daemon: Daemon) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            daemon.transcribe(conversation(), diarize="true")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(work)
        try:
            for _ in range(20):
                assert httpx.get(f"{daemon.url}/health", timeout=5).status_code == 200
                assert httpx.get(f"{daemon.url}/metrics", timeout=5).status_code == 200
        finally:
            stop.set()


def test_a_frozen_worker_is_replaced(tmp_path: Path) -> None:
    models_installed("tiny.en")
    settings = {
        "WHISPERD_DIARIZE__ENABLED": "false",
        "WHISPERD_WORKERS__PING_INTERVAL": "200ms",
        "WHISPERD_WORKERS__PING_TIMEOUT": "10s",
    }
    with Daemon(tmp_path, settings) as daemon:
        freeze(daemon.worker("transcribe"))
        assert daemon.transcribe(conversation()).status_code == 200
        assert daemon.restarts("transcribe") == 1
        assert "gave no sign of life" in daemon.log()
