"""Reflector's endpoints: what goes in, what comes out, and every row of its service's error tables."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import until
from fake_service import RECORDING, SPOKEN, TRANSCRIPT, Web, serving
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.errors import (
    EngineError,
    FetchFailed,
    MediaError,
    NotReady,
    ParameterError,
    TooLarge,
    TooLong,
    UrlNotFound,
    UrlRefused,
    WhisperdError,
)
from whisperd.transcript.model import Notice, Segment, Turn, Word

FROM_URL = "/v1/audio/transcriptions-from-url"
TALK = "http://store/talk?X-Amz-Signature=a%2Bb"
TRACK = "http://store/track"
RESULT = "http://store/result"
PAD = {"track_url": TRACK, "output_url": RESULT, "start_time_seconds": 2.5, "track_index": 0}
MIX = {"track_urls": [TRACK, TALK], "output_url": RESULT}


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        web.fetcher.files = {TALK: RECORDING, TRACK: b"a track"}
        yield web


async def post(web: Web, path: str, body: Any = None, status: int = 200, /, **query: str) -> Any:
    """The reply, of the status that is expected."""
    response = await web.client.post(path, json=body, params=query)
    reply = await response.json()
    assert response.status == status, reply
    return reply


# ---- transcription -------------------------------------------------------------------------------


async def test_the_reply_has_words_with_their_spaces_and_no_name(web: Web) -> None:
    assert await post(web, FROM_URL, {"audio_file_url": TALK, "language": "en", "batch": True}) == {
        "text": "Hello world. Good-bye.",
        "words": [
            {"word": " Hello", "start": 0.0, "end": 1.2},
            {"word": " world.", "start": 1.2, "end": 2.5},
            {"word": " Good-bye.", "start": 3.0, "end": 5.0},
        ],
        "filename": None,
    }
    assert web.service.recordings == [RECORDING]
    assert web.service.asked.words
    assert web.service.asked.patient


async def test_words_joined_with_nothing_between_them_are_the_text(web: Web) -> None:
    reply = await post(web, FROM_URL, {"audio_file_url": TALK})
    assert "".join(word["word"] for word in reply["words"]).strip() == reply["text"]


async def test_silence_is_an_empty_text_and_an_empty_list(web: Web) -> None:
    web.service.answer = replace(TRANSCRIPT, segments=[], language=None)
    reply = await post(web, FROM_URL, {"audio_file_url": TALK})
    assert reply == {"text": "", "words": [], "filename": None}


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ({}, "en"),
        ({"language": None}, "en"),
        ({"language": ""}, "en"),
        ({"language": "auto"}, "auto"),
        ({"language": "FR"}, "fr"),
        ({"language": "cmn"}, "zh"),
        ({"language": "nb"}, "no"),
        ({"language": "pes"}, "fa"),
        ({"language": "pbt"}, "ps"),
        ({"language": "jv"}, "jw"),
        ({"language": "khk"}, "mn"),
        ({"language": "ary"}, "ar"),
        ({"language": "arz"}, "ar"),
    ],
)
async def test_the_language_is_english_unless_another_one_is_named_by_any_of_its_codes(
    web: Web, sent: dict[str, Any], asked: str
) -> None:
    await post(web, FROM_URL, {"audio_file_url": TALK, **sent})
    assert web.service.asked.language == asked


@pytest.mark.parametrize(
    ("offset", "times"),
    [
        (10, [(10.0, 11.2), (11.2, 12.5), (13.0, 15.0)]),
        (0.004, [(0.01, 1.2), (1.2, 2.5), (3.0, 5.0)]),
        (-2, [(0.0, 0.0), (0.0, 0.5), (1.0, 3.0)]),
        (None, [(0.0, 1.2), (1.2, 2.5), (3.0, 5.0)]),
    ],
)
async def test_the_offset_is_added_and_no_time_is_negative(
    web: Web, offset: float | None, times: list[tuple[float, float]]
) -> None:
    reply = await post(web, FROM_URL, {"audio_file_url": TALK, "timestamp_offset": offset})
    assert [(word["start"], word["end"]) for word in reply["words"]] == times


async def test_a_word_ends_when_the_next_one_starts(web: Web) -> None:
    words = [Word(" a", 0.0, 2.0, 0.9), Word(" b", 1.0, 1.5, 0.9), Word(" c", 1.0, 3.0, 0.9)]
    web.service.answer = replace(
        TRANSCRIPT, segments=[Segment(id=0, start=0, end=3, text=" a b c", words=words)]
    )
    reply = await post(web, FROM_URL, {"audio_file_url": TALK})
    assert [(word["start"], word["end"]) for word in reply["words"]] == [(0.0, 1.0), (1.0, 1.0), (1.0, 3.0)]


async def test_a_model_that_is_named_has_no_effect_and_the_reply_says_so(web: Web) -> None:
    reply = await post(web, FROM_URL, {"audio_file_url": TALK, "model": "large-v2"})
    assert web.service.asked.model is None
    assert reply["warnings"] == [{"code": "parameter_ignored", "message": "model has no effect here"}]


async def test_what_the_answer_lacks_is_told(web: Web) -> None:
    web.service.answer = replace(TRANSCRIPT, warnings=[Notice("audio_truncated", "cut off")])
    response = await web.client.post(FROM_URL, json={"audio_file_url": TALK})
    assert (await response.json())["warnings"] == [{"code": "audio_truncated", "message": "cut off"}]
    assert response.headers["X-Whisperd-Warnings"] == "audio_truncated"


@pytest.mark.parametrize("path", [FROM_URL, "/pad", "/mixdown", "/translate"])
@pytest.mark.parametrize(
    ("data", "content_type"),
    [(b"{", "application/json"), (b"[]", "application/json"), (b'{"audio_file_url": "x"}', "text/plain")],
)
async def test_a_body_that_is_no_json_object_is_a_422(
    web: Web, path: str, data: bytes, content_type: str
) -> None:
    response = await web.client.post(path, data=data, headers={"Content-Type": content_type})
    [wrong] = (await response.json())["detail"]
    assert response.status == 422
    assert wrong["loc"][0] == "body"


@pytest.mark.parametrize(
    ("body", "name", "kind"),
    [
        ({}, "audio_file_url", "missing"),
        (None, "audio_file_url", "missing"),
        ({"audio_file_url": 5}, "audio_file_url", "value_error"),
        ({"audio_file_url": TALK, "timestamp_offset": "soon"}, "timestamp_offset", "value_error"),
        ({"audio_file_url": TALK, "timestamp_offset": 1e300}, "timestamp_offset", "value_error"),
        ({"audio_file_url": TALK, "language": "ceb"}, "language", "value_error"),
    ],
)
async def test_a_parameter_that_is_wrong_is_a_422_that_names_it(
    web: Web, body: Any, name: str, kind: str
) -> None:
    [wrong] = (await post(web, FROM_URL, body, 422))["detail"]
    assert (wrong["loc"], wrong["type"]) == (["body", name], kind)


async def test_a_language_that_the_model_does_not_know_is_a_422_that_says_which_it_does(web: Web) -> None:
    web.service.error = ParameterError("the model tiny.en does not know 'fr'; it knows: en", param="language")
    [wrong] = (await post(web, FROM_URL, {"audio_file_url": TALK, "language": "fr"}, 422))["detail"]
    assert wrong["loc"] == ["body", "language"]
    assert wrong["msg"].endswith("it knows: en")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UrlNotFound("Audio file not found: http://store/talk"), 404),
        (UrlRefused("store is private"), 403),
        (TooLarge("the file is larger than the limit"), 413),
        (FetchFailed("http://store/talk: no connection"), 424),
    ],
)
@pytest.mark.parametrize("path", [FROM_URL, "/diarize"])
async def test_a_url_that_leads_nowhere_is_told_by_its_status(
    web: Web, path: str, error: WhisperdError, status: int
) -> None:
    web.fetcher.error = error
    query = {"audio_file_url": TALK} if path == "/diarize" else {}
    body = None if query else {"audio_file_url": TALK}
    assert await post(web, path, body, status, **query) == {"detail": error.message}


async def test_what_is_no_url_is_a_422_that_names_the_parameter(web: Web) -> None:
    web.fetcher.error = ParameterError("this is not a URL")
    wrong = [
        (await post(web, FROM_URL, {"audio_file_url": "talk"}, 422))["detail"][0],
        (await post(web, "/diarize", None, 422, audio_file_url="talk"))["detail"][0],
        (await post(web, "/pad", PAD, 422))["detail"][0],
        (await post(web, "/mixdown", MIX, 422))["detail"][0],
    ]
    assert [each["loc"] for each in wrong] == [
        ["body", "audio_file_url"],
        ["query", "audio_file_url"],
        ["body", "track_url"],
        ["body", "track_urls.0"],
    ]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MediaError("the file is not a recording that can be decoded"), 400),
        (TooLong("the recording is longer than 12h"), 413),
        (EngineError("the engine failed"), 500),
        (NotReady("not ready: loading"), 503),
    ],
)
async def test_what_goes_wrong_in_the_engine_is_told_in_one_sentence(
    web: Web, error: WhisperdError, status: int
) -> None:
    web.service.error = error
    assert await post(web, FROM_URL, {"audio_file_url": TALK}, status) == {"detail": error.message}


# ---- speakers ------------------------------------------------------------------------------------


async def test_speakers_are_numbers_in_the_order_in_which_they_first_speak(web: Web) -> None:
    web.service.answer = replace(
        SPOKEN,
        turns=[
            Turn(2.25, 5.0, "SPEAKER_00"),
            Turn(0.12345, 2.5, "SPEAKER_07"),
            Turn(6.0, 7.0, "SPEAKER_07"),
        ],
    )
    assert await post(web, "/diarize", audio_file_url=TALK, timestamp="0") == {
        "diarization": [
            {"start": 0.123, "end": 2.5, "speaker": 0},
            {"start": 2.25, "end": 5.0, "speaker": 1},
            {"start": 6.0, "end": 7.0, "speaker": 0},
        ]
    }
    assert web.service.asked.speakers
    assert not web.service.asked.text
    assert web.service.asked.patient


async def test_speakers_times_are_counted_from_the_timestamp(web: Web) -> None:
    web.service.answer = SPOKEN
    later = await post(web, "/diarize", audio_file_url=TALK, timestamp="10.5")
    assert [segment["start"] for segment in later["diarization"]] == [10.5, 12.75]
    earlier = await post(web, "/diarize", audio_file_url=TALK, timestamp="-1")
    assert [(segment["start"], segment["end"]) for segment in earlier["diarization"]] == [(0, 1.5), (1.25, 4)]


async def test_nobody_speaking_is_an_empty_list(web: Web) -> None:
    assert await post(web, "/diarize", audio_file_url=TALK) == {"diarization": []}


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({}, "audio_file_url"),
        ({"timestamp": "0"}, "audio_file_url"),
        ({"audio_file_url": TALK, "timestamp": "soon"}, "timestamp"),
        ({"audio_file_url": TALK, "timestamp": "nan"}, "timestamp"),
    ],
)
async def test_diarize_reads_the_query_and_names_what_is_wrong_in_it(
    web: Web, query: dict[str, str], name: str
) -> None:
    [wrong] = (await post(web, "/diarize", {"audio_file_url": TALK}, 422, **query))["detail"]
    assert wrong["loc"][1] == name


# ---- translation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "query", "pair"),
    [
        (None, {"source_language": "en", "target_language": "de"}, ("en", "de")),
        ({"source_language": "en", "target_language": "de"}, {}, ("en", "de")),
        ({"target_language": "de"}, {"source_language": "es", "target_language": "fr"}, ("es", "de")),
        (None, {}, ("en", "fr")),
        ({"source_language": None}, {}, ("en", "fr")),
    ],
)
async def test_languages_are_those_of_the_body_else_of_the_query_else_english_and_french(
    web: Web, body: Any, query: dict[str, str], pair: tuple[str, str]
) -> None:
    source, target = pair
    assert await post(web, "/translate", body, text="Good day.", **query) == {
        "text": {source: "Good day.", target: f"Good day. ({source} to {target})"}
    }


async def test_the_keys_are_the_codes_that_were_sent(web: Web) -> None:
    reply = await post(web, "/translate", text="Good day.", target_language="cmn")
    assert list(reply["text"]) == ["en", "cmn"]
    assert web.service.translations == [("Good day.", "en", "zh")]


async def test_a_text_in_its_own_language_is_left_as_it_is(web: Web) -> None:
    reply = await post(web, "/translate", text="Good day.", source_language="fr", target_language="fr")
    assert reply == {"text": {"fr": "Good day."}}
    assert web.service.translations == []


async def test_an_empty_text_is_one_too(web: Web) -> None:
    assert await post(web, "/translate", text="") == {"text": {"en": "", "fr": ""}}


async def test_the_text_may_come_in_the_body(web: Web) -> None:
    assert list((await post(web, "/translate", {"text": "Good day."}))["text"]) == ["en", "fr"]


async def test_no_text_is_a_422(web: Web) -> None:
    [wrong] = (await post(web, "/translate", {"source_language": "en"}, 422))["detail"]
    assert (wrong["type"], wrong["loc"][1]) == ("missing", "text")


@pytest.mark.parametrize("where", ["query", "body"])
async def test_a_language_as_long_as_a_sentence_is_a_422(web: Web, where: str) -> None:
    long = {"target_language": "x" * 33}
    query, body = (long, None) if where == "query" else ({}, long)
    [wrong] = (await post(web, "/translate", body, 422, text="Good day.", **query))["detail"]
    assert wrong["loc"] == [where, "target_language"]


async def test_a_pair_that_nothing_translates_is_a_404_after_which_the_client_stops(web: Web) -> None:
    web.service.error = ParameterError("no model here translates 'en' to 'xx'", param="target_language")
    assert await post(web, "/translate", None, 404, text="Good day.", target_language="xx") == {
        "detail": "no model here translates 'en' to 'xx'"
    }


# ---- tracks --------------------------------------------------------------------------------------


async def test_a_padded_track_is_put_where_it_was_asked_for(web: Web) -> None:
    assert await post(web, "/pad", PAD) == {"size": 6, "cancelled": False}
    assert web.fetcher.files[RESULT] == b"padded"
    assert web.service.recordings == [b"a track"]
    assert web.service.silence_s == [2.5]
    assert web.spooled() == []


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"track_url": "", "output_url": "", "start_time_seconds": -1}, "track_url cannot be empty"),
        ({"output_url": "", "start_time_seconds": -1}, "output_url cannot be empty"),
        ({"start_time_seconds": -1}, "start_time_seconds must be positive, got -1.0"),
        ({"start_time_seconds": 0}, "start_time_seconds must be positive, got 0.0"),
        ({"start_time_seconds": 18000.5}, "start_time_seconds exceeds maximum 18000s (5 hours)"),
    ],
)
async def test_what_can_not_be_padded_is_a_400_and_the_first_reason_is_told(
    web: Web, changes: dict[str, Any], detail: str
) -> None:
    assert await post(web, "/pad", PAD | changes, 400) == {"detail": detail}


@pytest.mark.parametrize("name", list(PAD))
async def test_pad_needs_all_of_its_parameters(web: Web, name: str) -> None:
    body = {key: value for key, value in PAD.items() if key != name}
    [wrong] = (await post(web, "/pad", body, 422))["detail"]
    assert (wrong["type"], wrong["loc"]) == ("missing", ["body", name])


async def test_a_track_without_sound_is_a_400(web: Web) -> None:
    web.service.error = MediaError("No audio stream in input")
    assert await post(web, "/pad", PAD, 400) == {"detail": "No audio stream in input"}


@pytest.mark.parametrize(("path", "work"), [("/pad", "Padding"), ("/mixdown", "Mixdown")])
async def test_a_failure_says_which_work_failed(web: Web, path: str, work: str) -> None:
    body = PAD if path == "/pad" else MIX
    web.service.error = EngineError("the engine failed")
    assert await post(web, path, body, 500) == {"detail": f"{work} failed: the engine failed"}
    web.fetcher.error = FetchFailed("no connection")
    assert await post(web, path, body, 424) == {"detail": f"{work} failed: no connection"}
    assert web.spooled() == []


async def test_a_mix_is_put_where_it_was_asked_for(web: Web) -> None:
    body = MIX | {"target_sample_rate": 44_100, "offsets_seconds": [12.5, 10]}
    assert await post(web, "/mixdown", body) == {"size": 5, "duration_ms": 7740.0, "cancelled": False}
    assert web.fetcher.files[RESULT] == b"mixed"
    assert web.service.recordings == [b"a track", RECORDING]
    assert web.service.delays_s == [2.5, 0]
    assert web.service.sample_rate_hz == 44_100
    assert web.spooled() == []


async def test_null_is_no_delay_and_the_first_tracks_rate(web: Web) -> None:
    await post(web, "/mixdown", MIX | {"target_sample_rate": None, "offsets_seconds": None})
    assert web.service.delays_s == [0, 0]
    assert web.service.sample_rate_hz is None


async def test_empty_urls_are_left_out_with_their_offsets(web: Web) -> None:
    body = MIX | {"track_urls": ["", TRACK, "", TALK], "offsets_seconds": [1, 5, 100, 7]}
    await post(web, "/mixdown", body)
    assert web.service.delays_s == [0, 2]


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"track_urls": [], "offsets_seconds": [1], "output_url": ""}, "No valid track URLs provided"),
        ({"track_urls": ["", ""], "output_url": ""}, "No valid track URLs provided"),
        (
            {"offsets_seconds": [20_000], "output_url": ""},
            "offsets_seconds length (1) must match track_urls (2)",
        ),
        (
            {"offsets_seconds": [0, 18_000.5], "output_url": ""},
            "offsets_seconds exceeds maximum 18000s (5 hours)",
        ),
        ({"offsets_seconds": [0, -18_001]}, "offsets_seconds exceeds maximum 18000s (5 hours)"),
        ({"output_url": ""}, "output_url cannot be empty"),
        ({"track_urls": [TRACK] * 101}, "there are 101 tracks; at most 100 are mixed"),
    ],
)
async def test_what_can_not_be_mixed_is_a_400_and_the_first_reason_is_told(
    web: Web, changes: dict[str, Any], detail: str
) -> None:
    assert await post(web, "/mixdown", MIX | changes, 400) == {"detail": detail}


async def test_a_rate_that_mp3_can_not_carry_is_a_422(web: Web) -> None:
    web.service.error = ParameterError("the sample rate of an MP3 can't be 22000")
    [wrong] = (await post(web, "/mixdown", MIX | {"target_sample_rate": 22_000}, 422))["detail"]
    assert wrong["loc"] == ["body", "target_sample_rate"]


async def test_one_track_that_is_not_there_fails_the_mix_and_leaves_nothing_behind(web: Web) -> None:
    del web.fetcher.files[TALK]
    assert await post(web, "/mixdown", MIX, 404) == {"detail": "nothing is there"}
    assert web.spooled() == []


@pytest.mark.parametrize(
    ("path", "body"), [(FROM_URL, {"audio_file_url": TALK}), (f"/diarize?audio_file_url={TRACK}", None)]
)
async def test_a_client_that_leaves_ends_its_request(web: Web, path: str, body: Any) -> None:
    web.service.may_answer.clear()
    asking = asyncio.create_task(web.client.post(path, json=body))
    await until(lambda: bool(web.service.requests))
    asking.cancel()
    await until(lambda: web.spooled() == [])


# ---- who is meant --------------------------------------------------------------------------------


async def test_a_wrong_method_is_told_in_the_dialect_of_the_path(web: Web) -> None:
    for path in (FROM_URL, "/diarize", "/translate", "/pad", "/mixdown"):
        response = await web.client.get(path)
        assert response.status == 405
        assert list(await response.json()) == ["detail"]


async def test_any_authorization_is_taken_where_no_key_is_set(web: Web) -> None:
    for header in ("Bearer selfhosted", "Bearer local", "Basic eDp5", "x"):
        response = await web.client.post(
            FROM_URL, json={"audio_file_url": TALK}, headers={"Authorization": header}
        )
        assert response.status == 200


@pytest.mark.parametrize("path", [FROM_URL, "/diarize", "/translate", "/pad", "/mixdown"])
async def test_a_doubled_slash_leads_to_the_same_place(web: Web, path: str) -> None:
    async with web.client.session.post(f"{web.url}{path}") as response:
        assert response.url.raw_path == f"/{path}"
        assert response.status == 422
        assert list(await response.json()) == ["detail"]
