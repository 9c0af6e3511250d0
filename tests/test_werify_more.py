"""The werify app's batches, its recordings by URL, and its queue."""

import datetime
from collections.abc import AsyncIterator

import pytest
from aiohttp import FormData
from fake_service import RECORDING, Web, serving

from whisperd.config.live import Live
from whisperd.errors import FetchFailed, MediaError, UrlNotFound, UrlRefused


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


# ---- several -------------------------------------------------------------------------------------


def batch(*filenames: str) -> FormData:
    data = FormData()
    for name in filenames:
        data.add_field("files", b"" if name == "empty.wav" else RECORDING, filename=name)
    return data


async def test_a_batch_is_answered_in_its_order(web: Web) -> None:
    names = [f"{number}.wav" for number in range(9)]
    response = await web.client.post("/transcribe/batch", data=batch(*names))
    assert response.status == 200
    body = await response.json()
    assert set(body) == {"total_files", "total_processing_time", "results"}
    assert (body["total_files"], len(web.service.requests)) == (9, 9)
    assert [result["filename"] for result in body["results"]] == names
    assert body["results"][0] == {
        "filename": "0.wav",
        "text": "Hello world. Good-bye.",
        "language": "en",
        "processing_time": 1.5,
        "queue_wait_time": 0.5,
        "segments": None,
    }
    assert len({request.audio.parent for request in web.service.requests}) == 9, (
        "each in a directory of its own"
    )
    assert web.spooled() == []


async def test_a_bad_file_of_a_batch_is_an_entry_and_the_others_are_done(web: Web) -> None:
    response = await web.client.post(
        "/transcribe/batch", data=batch("a.wav", "empty.wav", "b.wav"), params={"include_segments": "1"}
    )
    assert response.status == 200
    first, second, third = (await response.json())["results"]
    assert second == {"filename": "empty.wav", "error": "the file is empty"}
    assert len(first["segments"]) == len(third["segments"]) == 2


async def test_each_of_a_batch_says_what_was_wrong_with_it(web: Web) -> None:
    web.service.error = MediaError("not a recording")
    response = await web.client.post("/transcribe/batch", data=batch("a.txt", "b.mp3"))
    assert response.status == 200
    assert (await response.json())["results"] == [
        {"filename": "a.txt", "error": "Unsupported file type: .txt"},
        {"filename": "b.mp3", "error": "not a recording"},
    ]


async def test_a_batch_of_nothing_is_422(web: Web) -> None:
    data = FormData({"x": "y"})
    data._is_multipart = True
    response = await web.client.post("/transcribe/batch", data=data)
    assert response.status == 422
    [wrong] = (await response.json())["detail"]
    assert (wrong["type"], wrong["loc"]) == ("missing", ["body", "files"])


async def test_a_wrong_option_refuses_the_whole_batch(web: Web) -> None:
    response = await web.client.post("/transcribe/batch", data=batch("a.wav"), params={"task": "x"})
    assert response.status == 422
    assert web.service.requests == []


# ---- by URL --------------------------------------------------------------------------------------

URL_PATH = "/transcribe/url"
THERE = "http://example.org/talk"


@pytest.mark.parametrize("where", ["body", "query"])
async def test_a_url_may_be_in_the_body_or_in_the_query(web: Web, where: str) -> None:
    web.fetcher.files[THERE] = RECORDING
    options = {"url": THERE, "include_segments": "true", "language": "de"}
    if where == "query":
        response = await web.client.post(URL_PATH, params=options)
    else:
        response = await web.client.post(URL_PATH, json=options | {"include_segments": True})
    body = await response.json()
    assert response.status == 200, body
    keys = {"text", "language", "duration", "processing_time", "queue_wait_time", "segments"}
    assert set(body) == keys
    assert len(body["segments"]) == 2
    assert web.service.asked.language == "de"
    assert web.service.recordings == [RECORDING]


async def test_the_query_wins_over_the_body(web: Web) -> None:
    web.fetcher.files[THERE] = RECORDING
    body = {"url": "http://example.org/other", "language": "de"}
    response = await web.client.post(URL_PATH, params={"url": THERE}, json=body)
    assert response.status == 200
    assert web.service.asked.language == "de"


async def test_no_url_is_422(web: Web) -> None:
    response = await web.client.post(URL_PATH)
    assert response.status == 422
    [wrong] = (await response.json())["detail"]
    assert (wrong["type"], wrong["loc"][1], wrong["input"]) == ("missing", "url", None)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"{", 400, "JSON"),
        (b"\xff", 400, "JSON"),
        (b'{"url": 5}', 422, "url"),
        (b'{"url": "http://x", "include_segments": "maybe"}', 422, "include_segments"),
        (b'["http://x"]', 422, "body"),
    ],
)
async def test_a_body_that_is_wrong_says_where(web: Web, body: bytes, status: int, named: str) -> None:
    response = await web.client.post(URL_PATH, data=body, headers={"Content-Type": "application/json"})
    assert response.status == status
    assert named in str((await response.json())["detail"])


@pytest.mark.parametrize("kind", [UrlRefused, UrlNotFound, FetchFailed])
async def test_what_is_wrong_with_a_url_is_400(
    web: Web, kind: type[UrlRefused | UrlNotFound | FetchFailed]
) -> None:
    web.fetcher.error = kind("nothing came of it")
    response = await web.client.post(URL_PATH, params={"url": THERE})
    assert (response.status, await response.json()) == (400, {"detail": "nothing came of it"})


# ---- how busy it is ------------------------------------------------------------------------------


async def test_the_queue_is_told_by_its_old_names(web: Web) -> None:
    response = await web.client.get("/queue/status")
    assert (response.status, await response.json()) == (
        200,
        {
            "current_queue_size": 3,
            "total_processed": 0,
            "total_queued": 0,
            "last_processed_at": None,
            "is_processing": True,
        },
    )


async def test_the_queue_counts_and_tells_local_time(web: Web) -> None:
    moment = datetime.datetime(2026, 11, 21, 1, 41, 27, 397535, tzinfo=datetime.UTC)
    web.service.tally.queued, web.service.tally.processed = 7, 3
    web.service.tally.last_processed_at = moment
    body = await (await web.client.get("/queue/status")).json()
    assert (body["total_queued"], body["total_processed"]) == (7, 3)
    assert body["last_processed_at"] == moment.astimezone().replace(tzinfo=None).isoformat()
