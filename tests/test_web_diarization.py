"""Who spoke when: JSON and RTTM."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import FormData
from fake_service import RECORDING, SPOKEN, Web, form, serving
from msgspec.structs import replace

from whisperd.config.live import Live
from whisperd.transcript.model import Notice, SpeakerHints, Transcript

PATH = "/v1/audio/diarization"


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        web.service.answer = SPOKEN
        yield web


async def test_json_has_the_turns_and_who_spoke_first(web: Web) -> None:
    response = await web.client.post(PATH, data=form())
    assert await response.json() == {
        "duration": 5.24,
        "speakers": ["SPEAKER_01", "SPEAKER_00"],
        "segments": [
            {"start": 0.0, "end": 2.5, "speaker": "SPEAKER_01"},
            {"start": 2.25, "end": 5.0, "speaker": "SPEAKER_00"},
        ],
    }
    assert not web.service.asked.text
    assert web.service.asked.speakers


async def test_rttm_has_a_line_for_each_turn(web: Web) -> None:
    response = await web.client.post(PATH, data=form(response_format="rttm"))
    assert response.content_type == "text/plain"
    assert await response.text() == (
        "SPEAKER talk 1 0.000 2.500 <NA> <NA> SPEAKER_01 <NA> <NA>\n"
        "SPEAKER talk 1 2.250 2.750 <NA> <NA> SPEAKER_00 <NA> <NA>\n"
    )


async def told_as(web: Web, parameters: bytes) -> str:
    """What RTTM calls a recording whose part has these parameters, and may have more headers behind them."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; '
        + parameters
        + b"\r\n\r\n"
        + RECORDING
        + b'\r\n--b\r\nContent-Disposition: form-data; name="response_format"\r\n\r\nrttm\r\n--b--\r\n'
    )
    response = await web.client.post(
        PATH, data=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    return (await response.text()).split(" ")[1]


@pytest.mark.parametrize(
    ("filename", "uri"),
    [
        ("two words.v2.wav", "two_words.v2"),
        ("/etc/passwd.wav", "passwd"),
        (r"C:\calls\monday.wav", "monday"),
        ("blob", "blob"),
        ("", "audio"),
        ("gruß\udcff.wav", "gruß\ufffd"),
    ],
)
async def test_rttm_names_the_recording_as_the_caller_does(web: Web, filename: str, uri: str) -> None:
    named = filename.replace("\\", "\\\\").encode(errors="surrogateescape")
    assert await told_as(web, b'filename="' + named + b'"\r\nContent-Type: audio/wav') == uri


@pytest.mark.parametrize(
    ("parameters", "uri"),
    [
        ("filename=talk.wav", "talk"),
        ('filename="a \\"b\\" c.wav"', 'a_"b"_c'),
        ('filename="a %22b%22 c.wav"', 'a_"b"_c'),
        ("filename*=utf-8''gr%C3%BC%C3%9Fe.wav", "grüße"),
        ("filename=\"talk.wav\"; filename*=UTF-8'de'gr%C3%BC%C3%9Fe.wav", "grüße"),
        ("filename=\"talk.wav\"; filename*=koi8-r''%C9.wav", "talk"),
    ],
)
async def test_a_recordings_name_may_be_written_in_any_way_of_clients(
    web: Web, parameters: str, uri: str
) -> None:
    assert await told_as(web, parameters.encode()) == uri


async def test_hints_reach_the_service(web: Web) -> None:
    await web.client.post(PATH, data=form(num_speakers="2", max_speakers="3"))
    assert web.service.asked.hints == SpeakerHints(exactly=2, at_most=3)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "srt"}, "response_format"),
        ({"min_speakers": "4", "max_speakers": "3"}, "min_speakers"),
        ({"num_speakers": "2.5"}, "num_speakers"),
    ],
)
async def test_a_wrong_value_is_refused_as_openai_does(web: Web, fields: dict[str, str], param: str) -> None:
    response = await web.client.post(PATH, data=form(**fields))
    assert response.status == 400
    assert (await response.json())["error"]["param"] == param


async def test_warnings_come_along(web: Web) -> None:
    web.service.answer = Transcript(duration=1.0, warnings=[Notice("audio_truncated", "it ends early")])
    response = await web.client.post(PATH, data=form(colour="red"))
    body = await response.json()
    assert [notice["code"] for notice in body["warnings"]] == ["parameter_ignored", "audio_truncated"]
    assert (body["speakers"], body["segments"]) == ([], [])
    response = await web.client.post(PATH, data=form(response_format="rttm"))
    assert response.headers["X-Whisperd-Warnings"] == "audio_truncated"
    assert await response.text() == ""


async def test_the_recording_goes_by_the_same_field_as_for_transcriptions(web: Web) -> None:
    data = FormData()
    data.add_field("audio", RECORDING, filename="talk.wav")
    response = await web.client.post(PATH, data=data)
    assert response.status == 400
    assert "`audio`" in (await response.json())["error"]["message"]


async def test_nothing_is_lost_where_many_speak(web: Web) -> None:
    turns = SPOKEN.turns * 2000
    web.service.answer = replace(SPOKEN, turns=turns)
    response = await web.client.post(PATH, data=form())
    assert len((await response.json())["segments"]) == len(turns)
