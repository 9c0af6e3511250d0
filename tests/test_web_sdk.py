"""OpenAI's own client library against the web layer: it reads every format, and every error."""

import io
from collections.abc import AsyncIterator

import openai
import pytest
from fake_service import MIXED, RECORDING, SPOKEN, TRANSCRIPT, Web, serving

from whisperd.config.live import Live
from whisperd.errors import MediaError, NotReady, QueueFull, RateLimited, TooLong, WhisperdError, WorkerDied
from whisperd.transcript.model import Detection, Request, Transcript


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


@pytest.fixture
async def client(web: Web) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{web.url}v1", api_key="none", max_retries=0) as client:
        yield client


def talk() -> tuple[str, io.BytesIO]:
    return ("talk.wav", io.BytesIO(RECORDING))


# ---- formats -------------------------------------------------------------------------------------


async def test_json(web: Web, client: openai.AsyncOpenAI) -> None:
    reply = await client.audio.transcriptions.create(file=talk(), model="whisper-1")
    assert reply.text == "Hello world. Good-bye."
    assert reply.usage
    assert reply.usage.type == "duration"
    assert reply.usage.seconds == TRANSCRIPT.duration
    assert web.service.recordings == [RECORDING]


@pytest.mark.parametrize("shape", ["text", "srt", "vtt"])
async def test_text_and_subtitles(client: openai.AsyncOpenAI, shape: str) -> None:
    reply = await client.audio.transcriptions.create(
        file=talk(),
        model="whisper-1",
        response_format=shape,  # type: ignore[call-overload]
    )
    assert isinstance(reply, str)
    assert "Hello world." in reply
    assert ("-->" in reply) == (shape != "text")


async def test_verbose_json(client: openai.AsyncOpenAI) -> None:
    reply = await client.audio.transcriptions.create(
        file=talk(),
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        language="en",
        prompt="Hello.",
        temperature=0,
    )
    assert (reply.language, reply.duration) == ("english", TRANSCRIPT.duration)
    assert reply.words
    assert [(word.word, word.start) for word in reply.words] == [
        ("Hello", 0.004),
        ("world.", 1.2),
        ("Good-bye.", 3.0),
    ]
    assert reply.segments
    assert [segment.tokens for segment in reply.segments] == [[1, 2, 3], [4]]
    assert reply.usage


async def test_diarized_json(web: Web, client: openai.AsyncOpenAI) -> None:
    web.service.answer = SPOKEN
    reply = await client.audio.transcriptions.create(
        file=talk(),
        model="gpt-4o-transcribe-diarize",
        response_format="diarized_json",
        chunking_strategy="auto",
    )
    assert [(segment.speaker, segment.text) for segment in reply.segments] == [
        ("A", "Hello world."),
        ("B", "Good-bye."),
    ]


async def test_our_own_fields_go_as_extras(web: Web, client: openai.AsyncOpenAI) -> None:
    web.service.answer = SPOKEN
    reply = await client.audio.transcriptions.create(
        file=talk(),
        model="whisper-1",
        response_format="verbose_json",
        extra_body={"diarize": True, "num_speakers": 2},
    )
    assert reply.segments
    assert [segment.to_dict()["speaker"] for segment in reply.segments] == ["SPEAKER_01", "SPEAKER_00"]
    assert web.service.asked.speakers
    assert web.service.asked.hints.exactly == 2


async def test_doubts_and_languages_of_segments_come_as_extras(web: Web, client: openai.AsyncOpenAI) -> None:
    web.service.answer = MIXED
    wish = {"multilingual": True, "condition_on_previous_text": False, "drop_doubted": False}
    reply = await client.audio.transcriptions.create(
        file=talk(), model="whisper-1", response_format="verbose_json", extra_body=wish
    )
    assert web.service.asked.multilingual
    assert reply.segments
    assert [segment.to_dict().get("doubts") for segment in reply.segments] == [["repeated", "no_voice"], None]
    assert [segment.to_dict().get("language") for segment in reply.segments] == [None, "german"]


async def test_known_speakers_and_settings_of_the_detection(web: Web, client: openai.AsyncOpenAI) -> None:
    web.service.answer = SPOKEN
    await client.audio.transcriptions.create(
        file=talk(),
        model="gpt-4o-transcribe-diarize",
        response_format="diarized_json",
        chunking_strategy={"type": "server_vad", "threshold": 0.4},
        known_speaker_names=["agent"],
        known_speaker_references=["data:audio/wav;base64," + "A" * 400_000],
    )
    asked = web.service.asked
    assert asked.detection == Detection(threshold=0.4, min_silence_ms=200, padding_ms=300)
    assert [speaker.name for speaker in asked.known_speakers] == ["agent"]
    assert web.service.voices == [bytes(300_000)]


async def test_languages_and_keywords(web: Web, client: openai.AsyncOpenAI) -> None:
    reply = await client.audio.transcriptions.create(
        file=talk(), model="gpt-transcribe", languages=["en", "de"], keywords=["whisperd"]
    )
    assert reply.languages
    assert [language.code for language in reply.languages] == ["en"]
    assert (web.service.asked.languages, web.service.asked.hotwords) == (("en", "de"), "whisperd")


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the library's word for translations
async def test_models_and_translations(web: Web, client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["tiny.en", "base"]
    assert (await client.models.retrieve("base")).owned_by == "whisperd"
    assert (await client.models.retrieve("whisper-1")).object == "model"
    reply = await client.audio.translations.create(file=talk(), model="base")
    assert (reply.text, web.service.asked.task) == ("Hello world. Good-bye.", "translate")


async def test_silence(web: Web, client: openai.AsyncOpenAI) -> None:
    web.service.answer = Transcript(duration=3.0)
    reply = await client.audio.transcriptions.create(
        file=talk(), model="whisper-1", response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert (reply.text, reply.words) == ("", [])


# ---- streams -------------------------------------------------------------------------------------


async def test_a_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.audio.transcriptions.create(file=talk(), model="gpt-4o-transcribe", stream=True)
    *pieces, done = [event async for event in stream]
    assert done.type == "transcript.text.done"
    deltas = [piece.delta for piece in pieces if piece.type == "transcript.text.delta"]
    assert len(deltas) == len(pieces) == 2
    assert "".join(deltas) == done.text == "Hello world. Good-bye."


async def test_a_stream_that_fails_is_raised_where_it_is_read(web: Web, client: openai.AsyncOpenAI) -> None:
    web.service.late_error = WorkerDied("it died")
    stream = await client.audio.transcriptions.create(file=talk(), model="gpt-4o-transcribe", stream=True)
    events = aiter(stream)
    assert [(await anext(events)).type for _ in range(2)] == ["transcript.text.delta"] * 2
    with pytest.raises(openai.APIError, match="it died") as raised:
        await anext(events)
    assert raised.value.code == "worker_died"


async def test_a_stream_that_fails_at_once_is_raised_where_it_was_asked_for(
    web: Web, client: openai.AsyncOpenAI
) -> None:
    web.service.error = MediaError("no sound in it")
    with pytest.raises(openai.BadRequestError):
        await client.audio.transcriptions.create(file=talk(), model="gpt-4o-transcribe", stream=True)


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MediaError("no sound in it"), openai.BadRequestError),
        (TooLong("too long"), openai.APIStatusError),
        (NotReady("loading"), openai.InternalServerError),
        (QueueFull("too many"), openai.InternalServerError),
        (RateLimited("too many of yours"), openai.RateLimitError),
        (WorkerDied("it died"), openai.InternalServerError),
    ],
)
async def test_errors_are_raised_with_code_and_message(
    web: Web, client: openai.AsyncOpenAI, error: WhisperdError, kind: type[openai.APIStatusError]
) -> None:
    web.service.error = error
    with pytest.raises(kind) as raised:
        await client.audio.transcriptions.create(file=talk(), model="whisper-1")
    assert raised.value.code == error.code
    assert error.message in raised.value.message


async def test_an_unknown_model_is_not_found(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        await client.audio.transcriptions.create(file=talk(), model="large")
    assert raised.value.param == "model"


async def test_a_busy_server_is_asked_again(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    process = web.service.process

    async def busy_once(_: Request, __: object) -> Transcript:
        monkeypatch.setattr(web.service, "process", process)
        raise QueueFull("too many", retry_after_s=1)

    monkeypatch.setattr(web.service, "process", busy_once)
    async with openai.AsyncOpenAI(base_url=f"{web.url}v1", api_key="none", max_retries=1) as client:
        reply = await client.audio.transcriptions.create(file=talk(), model="whisper-1")
    assert reply.text == "Hello world. Good-bye."
