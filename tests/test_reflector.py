"""Reflector's client against a real daemon: its requests as it sends them, and what it asks of replies.

The client is httpx with `follow_redirects`, and joins paths to a base URL that may end in a slash. Recordings
lie on a store whose URLs are presigned for GET alone.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import marian
import pytest
from file_server import PRESIGNED, Answer, FileServer, serving_files
from listening import heard
from recordings import conversation, encoded, tone
from running import STATE, Daemon, eventually, models_installed

pytestmark = pytest.mark.engine

MODELS = ("tiny.en", "diarization")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """With two translation models of a few words, beside the real ones."""
    models_installed(*MODELS)
    state = tmp_path_factory.mktemp("state")
    for target in ("fr", "es"):
        marian.install(state, "en", target)
    for model in MODELS:
        (state / "models" / model).symlink_to(STATE / "models" / model)
    settings = {"WHISPERD_PATHS__STATE": str(state), "WHISPERD_FETCH__ALLOW": "127.0.0.1"}
    with Daemon(tmp_path_factory.mktemp("daemon"), settings) as daemon:
        yield daemon


@pytest.fixture
async def store() -> AsyncIterator[FileServer]:
    async with serving_files() as files:
        yield files


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer selfhosted"}
    async with httpx.AsyncClient(follow_redirects=True, timeout=240, headers=headers) as client:
        yield client


def add(store: FileServer, path: Path, name: str = "recording", **headers: str) -> str:
    """Put a recording on the store; returns its presigned URL."""
    return store.add(f"{name}?{PRESIGNED}", Answer(body=path.read_bytes(), headers=headers))


class Reflector:
    """What Reflector's processors send."""

    def __init__(self, client: httpx.AsyncClient, base: str) -> None:
        self.client = client
        self.base = base

    async def transcribe(self, url: str, **more: Any) -> httpx.Response:
        body = {"audio_file_url": url, "language": "en", "batch": True, **more}
        return await self.client.post(f"{self.base}/v1/audio/transcriptions-from-url", json=body)

    async def diarize(self, url: str) -> httpx.Response:
        query: dict[str, str | int] = {"audio_file_url": url, "timestamp": 0}
        return await self.client.post(f"{self.base}/diarize", params=query)

    async def translate(self, text: str, target: str) -> httpx.Response:
        query = {"text": text, "source_language": "en", "target_language": target}
        return await self.client.post(f"{self.base}/translate", params=query)

    async def pad(self, track: str, output: str, seconds: float) -> httpx.Response:
        body = {
            "track_url": track,
            "output_url": output,
            "start_time_seconds": seconds,
            "track_index": 0,
        }
        return await self.client.post(f"{self.base}/pad", json=body)

    async def mix(self, tracks: list[str], output: str, **more: Any) -> httpx.Response:
        body = {
            "track_urls": tracks,
            "output_url": output,
            "target_sample_rate": None,
            "offsets_seconds": None,
            **more,
        }
        return await self.client.post(f"{self.base}/mixdown", json=body)


@pytest.fixture(params=["", "/"], ids=["base", "base ending in a slash"])
def any_base(request: pytest.FixtureRequest, daemon: Daemon, client: httpx.AsyncClient) -> Reflector:
    return Reflector(client, daemon.url + request.param)


@pytest.fixture
def reflector(daemon: Daemon, client: httpx.AsyncClient) -> Reflector:
    return Reflector(client, daemon.url)


def words_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The words, as the client checks them."""
    assert response.status_code == 200, response.text
    words: list[dict[str, Any]] = response.json()["words"]
    for word in words:
        assert 0 <= word["start"] <= word["end"]
    assert all(one["start"] <= other["start"] for one, other in itertools.pairwise(words))
    return words


def segments_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The segments, as the client checks them."""
    assert response.status_code == 200, response.text
    segments: list[dict[str, Any]] = response.json()["diarization"]
    for segment in segments:
        assert 0 <= segment["start"] <= segment["end"]
        assert type(segment["speaker"]) is int
    assert segments == sorted(segments, key=lambda segment: segment["start"])
    return segments


# ---- what the client needs -----------------------------------------------------------------------


async def test_a_recording_by_url_becomes_words_that_join_to_the_text(
    any_base: Reflector, store: FileServer
) -> None:
    response = await any_base.transcribe(add(store, conversation()))
    words = words_of(response)
    body = response.json()
    assert "".join(word["word"] for word in words).strip() == body["text"]
    assert "Diane in New Jersey" in body["text"]
    assert body["filename"] is None
    assert store.paths("HEAD") == []


async def test_a_recording_by_url_becomes_segments_with_numbers_for_speakers(
    any_base: Reflector, store: FileServer
) -> None:
    segments = segments_of(await any_base.diarize(add(store, conversation())))
    assert {segment["speaker"] for segment in segments} == {0, 1}
    assert segments[0]["speaker"] == 0


async def test_words_and_speakers_at_the_same_time_download_the_recording_once(
    reflector: Reflector, store: FileServer, daemon: Daemon
) -> None:
    answer = Answer(body=conversation().read_bytes(), pause_s=0.1)
    url = store.add(f"recording?{PRESIGNED}", answer)
    transcribed, diarized = await asyncio.gather(reflector.transcribe(url), reflector.diarize(url))
    assert words_of(transcribed)
    assert segments_of(diarized)
    assert len(store.paths()) == 1
    assert "5ec4e7" not in daemon.log()


async def test_an_offset_moves_all_words(reflector: Reflector, store: FileServer) -> None:
    words = words_of(await reflector.transcribe(add(store, conversation()), timestamp_offset=10))
    assert words
    assert all(word["start"] >= 10 for word in words)


@pytest.mark.parametrize("name", ["track", "recording.mp3", "recording.txt"])
@pytest.mark.parametrize("content_type", ["audio/x-wav", "text/html", "application/octet-stream"])
async def test_neither_the_name_nor_the_content_type_matters(
    reflector: Reflector, store: FileServer, tmp_path: Path, name: str, content_type: str
) -> None:
    track = encoded(tmp_path / "track.ogg", "libopus")
    url = add(store, track, name, **{"Content-Type": content_type})
    assert words_of(await reflector.transcribe(url)) == []


async def test_a_store_that_redirects_is_followed(
    reflector: Reflector, store: FileServer, tmp_path: Path
) -> None:
    url = store.add_redirects("recording.wav", 3, add(store, tone(tmp_path / "a.wav", amplitude=0)))
    response = await reflector.transcribe(url)
    assert response.json() == {"text": "", "words": [], "filename": None}


async def test_many_recordings_at_once_all_wait_for_their_turn(
    reflector: Reflector, store: FileServer, tmp_path: Path
) -> None:
    urls = [add(store, tone(tmp_path / "a.wav"), f"track-{number}") for number in range(20)]
    responses = await asyncio.gather(*map(reflector.transcribe, urls))
    assert {response.status_code for response in responses} == {200}


async def test_texts_are_translated_into_the_language_that_is_asked_for(any_base: Reflector) -> None:
    for target in ("fr", "es", "fr"):
        reply = (await any_base.translate("Hello world", target)).json()
        assert reply == {
            "text": {"en": "Hello world", target: marian.word_for_word("Hello world", "en", target)}
        }


async def test_the_health_check_of_its_deployments_is_answered_without_a_key(daemon: Daemon) -> None:
    async with httpx.AsyncClient() as anonymous:
        assert (await anonymous.get(f"{daemon.url}/docs")).status_code == 200


# ---- tracks --------------------------------------------------------------------------------------


async def test_tracks_are_padded_at_the_same_time_and_then_transcribed(
    reflector: Reflector, store: FileServer, tmp_path: Path
) -> None:
    tracks = [
        add(store, encoded(tmp_path / "a.webm", "libopus", seconds=1), "a"),
        add(store, encoded(tmp_path / "b.ogg", "libopus", seconds=1), "b"),
        add(store, conversation(), "c"),
    ]
    outputs = [f"{store.base}/padded/{number}?X-Amz-Signature=put" for number in range(3)]
    delays = [0.001, 1.5, 10.0]
    replies = await asyncio.gather(*map(reflector.pad, tracks, outputs, delays))
    for number, (reply, delay) in enumerate(zip(replies, delays, strict=True)):
        assert reply.status_code == 200, reply.text
        padded = tmp_path / str(number)
        padded.write_bytes(store.received[f"/padded/{number}"])
        assert reply.json() == {"size": padded.stat().st_size, "cancelled": False}
        sound = heard(padded)
        assert (sound.codec, sound.rate_hz, sound.channels) == ("opus", 48_000, 2)
        assert sound.peak(0.0, max(0.0, delay - 0.05)) < 0.01
    assert heard(tmp_path / "1").first_sound_s() == pytest.approx(1.5, abs=0.03)
    puts = [asked for asked in store.asked if asked.method == "PUT"]
    assert all("Content-Type" not in asked.headers for asked in puts)
    words = words_of(await reflector.transcribe(add(store, tmp_path / "2", "padded")))
    assert words[0]["start"] > 10


async def test_tracks_of_different_rates_are_mixed_after_their_delays(
    reflector: Reflector, store: FileServer, tmp_path: Path
) -> None:
    tracks = [
        add(store, tone(tmp_path / "a.wav", rate_hz=44_100, channels=2, amplitude=0.2), "a"),
        add(store, tone(tmp_path / "b.wav", rate_hz=16_000, amplitude=0.2, frequency_hz=1000), "b"),
    ]
    output = f"{store.base}/mixed?X-Amz-Signature=put"
    reply = await reflector.mix(["", *tracks], output, offsets_seconds=[0, 100, 101.5])
    assert reply.status_code == 200, reply.text
    mixed = tmp_path / "mixed"
    mixed.write_bytes(store.received["/mixed"])
    assert reply.json() == {
        "size": mixed.stat().st_size,
        "duration_ms": pytest.approx(2500, abs=1),
        "cancelled": False,
    }
    sound = heard(mixed)
    assert (sound.container, sound.rate_hz, sound.channels) == ("mp3", 44_100, 2)
    assert sound.level(440, 0.2, 0.8) == pytest.approx(0.2, rel=0.1)
    assert sound.level(1000, 1.7, 2.3) == pytest.approx(0.2, rel=0.1)
    assert sound.peak(1.1, 1.4) < 0.01


async def test_work_ends_when_the_client_leaves(
    reflector: Reflector, store: FileServer, daemon: Daemon, tmp_path: Path
) -> None:
    track = add(store, tone(tmp_path / "a.wav"))
    asking = asyncio.create_task(reflector.pad(track, f"{store.base}/padded", 18_000))

    def decoding() -> bool:
        return any(worker["kind"] == "decode" and worker["running"] for worker in daemon.health()["workers"])

    async def wait(*, running: bool) -> None:
        for _ in eventually():
            if await asyncio.to_thread(decoding) is running:
                return

    await wait(running=True)
    asking.cancel()
    await wait(running=False)
    for _ in eventually():
        if not daemon.spooled():
            break
    assert store.received == {}


# ---- what can be wrong ---------------------------------------------------------------------------


async def test_urls_that_give_no_recording_are_told_by_their_status(
    reflector: Reflector, store: FileServer
) -> None:
    garbage = store.add("garbage.mp3", b"no sound at all " * 100)
    for url, status in {
        f"{store.base}/nothing": 404,
        store.add("expired", Answer(status=403)): 403,
        store.add("broken", Answer(status=500)): 424,
        store.base.replace("127.0.0.1", "127.0.0.2"): 403,
        "http://127.0.0.1:1/closed": 424,
        "file:///etc/passwd": 403,
        "nonsense": 422,
        garbage: 400,
    }.items():
        for response in (await reflector.transcribe(url), await reflector.diarize(url)):
            assert (url, response.status_code) == (url, status), response.text
            assert list(response.json()) == ["detail"]


@pytest.mark.parametrize("language", ["fr", "ceb", "xx"])
async def test_a_language_that_is_not_known_is_a_422(
    reflector: Reflector, store: FileServer, tmp_path: Path, language: str
) -> None:
    response = await reflector.transcribe(add(store, tone(tmp_path / "a.wav")), language=language)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", "language"]


async def test_a_pair_that_nobody_translates_is_a_404_that_names_those_that_are(reflector: Reflector) -> None:
    response = await reflector.translate("Hello world", "de")
    assert response.status_code == 404
    assert "en to es, en to fr" in response.json()["detail"]


async def test_tracks_that_are_no_recordings_are_told_of(
    reflector: Reflector, store: FileServer, tmp_path: Path
) -> None:
    track = add(store, tone(tmp_path / "a.wav"), "a")
    garbage = store.add("garbage", b"no sound at all " * 100)
    output = f"{store.base}/output"
    padded = await reflector.pad(garbage, output, 1)
    assert (padded.status_code, "is not a recording" in padded.json()["detail"]) == (400, True)
    mixed = await reflector.mix([track, garbage], output)
    assert (mixed.status_code, mixed.json()["detail"].startswith("track 2: ")) == (400, True)
    wrong_rate = await reflector.mix([track], output, target_sample_rate=22_000)
    assert (wrong_rate.status_code, "44100" in wrong_rate.text) == (422, True)
    assert store.received == {}


async def test_a_result_that_can_not_be_delivered_is_told_of(
    reflector: Reflector, store: FileServer, tmp_path: Path
) -> None:
    track = add(store, tone(tmp_path / "a.wav"))
    refusing = store.add("full", Answer(status=507))
    response = await reflector.pad(track, refusing, 1)
    assert response.status_code == 424
    assert response.json()["detail"].startswith("Padding failed: ")


# ---- uploads, which its conformance tests alone make ---------------------------------------------


async def test_one_upload_is_a_flat_reply(daemon: Daemon, client: httpx.AsyncClient) -> None:
    response = await client.post(
        f"{daemon.url}/v1/audio/transcriptions",
        data={"model": "large-v2", "language": "en", "batch": "false"},
        files={"file": ("talk.wav", conversation().read_bytes(), "audio/wav")},
    )
    assert words_of(response)
    assert response.json()["text"]
    assert "filename" in response.json()


@pytest.mark.parametrize(("field", "batch"), [("files", "false"), ("files", "true"), ("files[]", "true")])
async def test_three_uploads_are_three_results(
    daemon: Daemon, client: httpx.AsyncClient, field: str, batch: str
) -> None:
    response = await client.post(
        f"{daemon.url}/v1/audio/transcriptions",
        data={"model": "large-v2", "language": "en", "batch": batch},
        files=[(field, (f"{number}.wav", conversation().read_bytes(), "audio/wav")) for number in range(3)],
    )
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    assert [result["filename"] for result in results] == ["0.wav", "1.wav", "2.wav"]
    for result in results:
        assert "".join(word["word"] for word in result["words"]).strip() == result["text"] != ""
