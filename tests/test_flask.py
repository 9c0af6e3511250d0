"""The Flask transcriber: every key of its answers, its links, and `{"error": ...}` for what is wrong."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import FormData
from fake_service import READY, RECORDING, SPOKEN, TRANSCRIPT, Web, form, serving
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.errors import EngineError, MediaError, ParameterError, QueueFull, UnknownModel
from whisperd.status import WorkerStatus
from whisperd.transcript.model import Notice, SpeakerHints, Transcript

PATH = "/transcribe"

ON_GPU = replace(
    READY,
    workers=[
        WorkerStatus(
            kind="transcribe", state="ready", model="small", device="cuda:0", device_name="NVIDIA H200"
        )
    ],
)


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


async def ask(web: Web, **fields: str) -> Any:
    response = await web.client.post(PATH, data=form("audio", **fields))
    body = await response.json()
    assert response.status == 200, body
    return body


async def refusal(web: Web, status: int = 400, /, **fields: str) -> Any:
    response = await web.client.post(PATH, data=form("audio", **fields))
    assert response.status == status
    return await response.json()


# ---- the reply -----------------------------------------------------------------------------------


async def test_every_key_is_there(web: Web) -> None:
    body = await ask(web)
    assert set(body) == {"transcript", "markdown", "metadata", "downloads"}
    assert body["transcript"] == "Hello world. Good-bye."
    assert body["markdown"] == "# Transcript\n\nHello world. Good-bye.\n"
    assert body["metadata"] == {
        "model": "tiny.en",
        "device": "cpu",
        "compute_type": "int8",
        "gpu_requested": False,
        "gpu_used": False,
        "detected_language": "en",
        "language_probability": 0.98,
        "duration": 5.24,
        "temperature": 0.0,
        "beam_size": 5,
        "task": "transcribe",
        "user": "shared",
        "backend": "local",
        "diarization": "off",
    }
    assert set(body["downloads"]) == {"text", "srt", "markdown"}
    assert web.service.recordings == [RECORDING]


async def test_the_form_reaches_the_service(web: Web) -> None:
    body = await ask(
        web,
        model="base",
        language="de",
        translate="TRUE",
        temperature="0.25",
        beam_size="3",
        diarization="local",
        min_speakers="2",
        max_speakers="4",
        backend="local",
    )
    asked = web.service.asked
    assert (asked.model, asked.language, asked.task) == ("base", "de", "translate")
    assert (asked.temperature, asked.beam_size, asked.speakers) == (0.25, 3, True)
    assert asked.hints == SpeakerHints(None, 2, 4)
    assert asked.device is None
    assert (body["metadata"]["temperature"], body["metadata"]["beam_size"]) == (0.25, 3)


@pytest.mark.parametrize("language", ["", "auto", "Automatic"])
async def test_the_language_is_detected_where_that_is_asked_for(web: Web, language: str) -> None:
    await ask(web, language=language, model="base")
    assert web.service.asked.language == "auto"


@pytest.mark.parametrize("translate", ["1", "yes", "false", "maybe"])
async def test_only_the_word_true_translates(web: Web, translate: str) -> None:
    await ask(web, translate=translate)
    assert web.service.asked.task == "transcribe"


@pytest.mark.parametrize("diarization", ["off", "false", "0"])
async def test_speakers_are_told_only_where_asked_for(web: Web, diarization: str) -> None:
    await ask(web, diarization=diarization)
    assert not web.service.asked.speakers


@pytest.mark.parametrize("count", ["0", "-1"])
async def test_no_number_of_speakers_leaves_it_open(web: Web, count: str) -> None:
    await ask(web, diarization="true", min_speakers=count, max_speakers=count)
    assert web.service.asked.hints == SpeakerHints()


async def test_silence_keeps_every_key(web: Web) -> None:
    web.service.answer = Transcript(duration=3.0, model="tiny.en", device="cpu", compute_type="int8")
    body = await ask(web)
    assert (body["transcript"], body["markdown"]) == ("", "# Transcript\n")
    metadata = body["metadata"]
    assert (metadata["detected_language"], metadata["language_probability"]) == ("unknown", 0.0)


async def test_speakers_are_in_the_texts(web: Web) -> None:
    web.service.answer = SPOKEN
    body = await ask(web, diarization="local")
    assert body["metadata"]["diarization"] == "local"
    assert body["markdown"] == (
        "# Transcript\n\n## SPEAKER_01\n\n**[00:00:00]** Hello world.\n\n"
        "## SPEAKER_00\n\n**[00:00:03]** Good-bye.\n"
    )


async def test_speakers_that_could_not_be_told_are_not_said_to_have_been(web: Web) -> None:
    web.service.answer = replace(TRANSCRIPT, warnings=[Notice("diarization_failed", "it failed")])
    body = await ask(web, diarization="local")
    assert body["metadata"]["diarization"] == "off"
    assert body["warnings"] == [{"code": "diarization_failed", "message": "it failed"}]


async def test_what_has_no_effect_is_said_to_have_none(web: Web) -> None:
    body = await ask(web, colour="red", min_speakers="2")
    assert [notice["message"] for notice in body["warnings"]] == [
        "min_speakers has no effect here",
        "colour has no effect here",
    ]


# ---- the GPU -------------------------------------------------------------------------------------


async def test_a_gpu_that_is_not_there_is_no_error(web: Web) -> None:
    metadata = (await ask(web, use_gpu="true"))["metadata"]
    assert (metadata["gpu_requested"], metadata["gpu_used"], metadata["device"]) == (True, False, "cpu")
    assert web.service.asked.device is None


@pytest.mark.parametrize(
    ("sent", "requested", "device"),
    [
        ("true", True, None),
        ("false", False, "cpu"),
        ("off", False, "cpu"),
        ("perhaps", True, None),
        ("", True, None),
    ],
)
async def test_a_gpu_that_is_there_is_used_unless_it_is_not_wanted(
    web: Web, sent: str, requested: bool, device: str | None
) -> None:
    web.service.state = ON_GPU
    web.service.answer = replace(TRANSCRIPT, device="cuda:0", compute_type="float16")
    metadata = (await ask(web, use_gpu=sent))["metadata"]
    assert metadata["gpu_requested"] is requested
    assert web.service.asked.device == device
    assert (metadata["device"], metadata["gpu_used"], metadata["compute_type"]) == ("cuda", True, "float16")


# ---- what is wrong -------------------------------------------------------------------------------


async def test_no_recording_is_told_as_its_clients_know_it(web: Web) -> None:
    data = FormData({"use_gpu": "true"})
    data._is_multipart = True
    response = await web.client.post(PATH, data=data)
    assert (response.status, await response.json()) == (400, {"error": "No audio file provided."})


async def test_a_recording_as_text_is_none(web: Web) -> None:
    data = FormData({"audio": "talk.wav", "model": "base"})
    data._is_multipart = True
    response = await web.client.post(PATH, data=data)
    assert (response.status, await response.json()) == (400, {"error": "No audio file provided."})


async def test_an_empty_filename_is_told_as_its_clients_know_it(web: Web) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="audio"; filename=""\r\n\r\n\r\n--b--\r\n'
    response = await web.client.post(
        PATH, data=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert (response.status, await response.json()) == (400, {"error": "Empty filename."})


async def test_an_empty_file_is_refused(web: Web) -> None:
    data = FormData()
    data.add_field("audio", b"", filename="talk.wav")
    response = await web.client.post(PATH, data=data)
    assert response.status == 400
    assert "empty" in (await response.json())["error"]


async def test_a_model_that_is_not_offered_is_told_those_that_are(web: Web) -> None:
    assert await refusal(web, model="large-v9") == {
        "error": "Unsupported model requested.",
        "allowed_models": ["tiny.en", "base"],
    }


async def test_a_model_that_is_offered_but_missing_says_what_is_missing(web: Web) -> None:
    web.service.error = UnknownModel("the model base is allowed here but not installed", param="model")
    body = await refusal(web, model="base")
    assert body["error"] == "the model base is allowed here but not installed"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "hot"),
        ("temperature", "2"),
        ("beam_size", "wide"),
        ("beam_size", "0"),
        ("min_speakers", "few"),
        ("max_speakers", "1.5"),
        ("language", "klingon"),
        ("diarization", "assemblyai"),
        ("backend", "openai"),
    ],
)
async def test_a_wrong_option_is_400_and_named(web: Web, name: str, value: str) -> None:
    body = await refusal(web, **({"diarization": "local"} | {name: value}))
    assert set(body) == {"error"}
    assert name in body["error"]
    assert web.service.requests == []


async def test_hints_that_contradict_each_other_are_400(web: Web) -> None:
    assert (
        "min_speakers" in (await refusal(web, diarization="1", min_speakers="4", max_speakers="2"))["error"]
    )


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (EngineError("the worker failed"), 500, "Transcription failed: the worker failed"),
        (MediaError("not a recording"), 400, "not a recording"),
        (ParameterError("can't translate", param="task"), 400, "can't translate"),
        (QueueFull("too many"), 503, "too many"),
    ],
)
async def test_the_services_errors_are_in_its_shape(
    web: Web, error: Exception, status: int, message: str
) -> None:
    web.service.error = error
    assert await refusal(web, status) == {"error": message}
