"""Lexia's gateway on a real daemon: a conversation handed in, watched, and had in every form."""

import itertools
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from recordings import conversation
from running import Daemon, models_installed

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    models_installed("tiny.en", "diarization")
    directory = tmp_path_factory.mktemp("gateway")
    with (
        Daemon(directory) as daemon,
        httpx.Client(base_url=daemon.url, timeout=120) as client,
    ):
        yield client


def hand_in(client: httpx.Client, path: str, **fields: str) -> Any:
    with conversation().open("rb") as file:
        response = client.post(path, files={"audio": ("talk.wav", file)}, data=fields)
    assert response.status_code == 202, response.text
    return response.json()


def test_a_conversation_is_transcribed_with_its_speakers(client: httpx.Client) -> None:
    taken = hand_in(
        client, "/v1/transcriptions", language_code="en", speaker_labels="true", speakers_expected="2"
    )
    with client.stream("GET", f"/v1/jobs/{taken['id']}/events") as stream:
        names = [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]
    assert names[-1] == "end"
    assert {"progress", "segment"} <= set(names)

    job = client.get(f"/v1/jobs/{taken['id']}").json()
    assert (job["status"], job["type"]) == ("completed", "transcription_with_diarization")
    shown = client.get(f"/v1/transcriptions/{taken['id']}").json()
    assert (shown["status"], shown["audio_duration"], shown["speakers"]) == ("completed", 30, ["A", "B"])
    assert {word["speaker"] for word in shown["words"]} == {"A", "B"}
    spoken = itertools.chain.from_iterable(utterance["words"] for utterance in shown["utterances"])
    assert list(spoken) == shown["words"], "each word is said once"
    pairs = itertools.pairwise(utterance["speaker"] for utterance in shown["utterances"])
    assert all(one != other for one, other in pairs)

    speakers = client.get(f"/v1/diarization/{taken['id']}").json()
    assert speakers["stats"]["num_speakers"] == 2
    assert speakers["overlaps"] is not None
    for suffix, start in {"txt": "", "srt": "1\n00:", "vtt": "WEBVTT", "rttm": "SPEAKER talk 1 "}.items():
        text = client.get(f"/v1/transcriptions/{taken['id']}.{suffix}").text
        assert text.startswith(start)
        assert {"A", "B"} <= set(text)


def test_speakers_alone_are_the_same_at_once_and_as_a_job(client: httpx.Client) -> None:
    taken = hand_in(client, "/v1/diarization", num_speakers="2")
    job = client.get(f"/v1/diarization/{taken['id']}", params={"wait": "60"}).json()
    with conversation().open("rb") as file:
        files = {"audio": ("talk.wav", file)}
        response = client.post("/v1/diarization/sync", files=files, data={"num_speakers": "2"})
    once = response.json()
    assert job["segments"] == once["segments"] != []
    assert job["rttm"] == once["rttm"]


def test_french_is_refused_at_once_by_a_model_that_knows_english_alone(client: httpx.Client) -> None:
    with conversation().open("rb") as file:
        response = client.post("/v1/transcriptions", files={"audio": ("talk.wav", file)})
    assert response.status_code == 422
    assert response.json()["error"]["param"] == "language_code"


def test_a_model_that_knows_english_alone_says_that_the_language_can_not_change(client: httpx.Client) -> None:
    taken = hand_in(client, "/v1/transcriptions", multilingual="true")
    shown = client.get(f"/v1/transcriptions/{taken['id']}", params={"wait": "60"}).json()
    assert (shown["status"], shown["languages"]) == ("completed", ["en"])
    assert [notice["message"] for notice in shown["warnings"]] == [
        "multilingual has no effect here: the language can only be 'en'"
    ]
    with conversation().open("rb") as file:
        fields = {"languages[]": ["en", "fr"]}
        response = client.post("/v1/transcriptions", files={"audio": ("talk.wav", file)}, data=fields)
    assert (response.status_code, response.json()["error"]["param"]) == (422, "languages[]")


def test_a_running_job_is_called_off(client: httpx.Client) -> None:
    taken = hand_in(client, "/v1/transcriptions", language_code="en")
    assert client.delete(f"/v1/jobs/{taken['id']}").status_code == 204
    shown = client.get(f"/v1/transcriptions/{taken['id']}").json()
    assert (shown["status"], shown["error"]) == ("error", "The job was cancelled.")
    assert client.delete(f"/v1/transcriptions/{taken['id']}").status_code == 204
    assert client.get(f"/v1/transcriptions/{uuid.UUID(taken['id'])}").status_code == 404
