"""Forms with several recordings and large fields, and JSON bodies."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator

import pytest
from aiohttp import FormData, web
from aiohttp.test_utils import TestClient, TestServer
from conftest import changed
from fake_service import RECORDING, Web, serving
from msgspec import Struct

from whisperd.config.live import Live
from whisperd.config.units import Duration, Size
from whisperd.errors import EmptyFile, MissingFile, RequestError, WhisperdError
from whisperd.media.spool import Spool
from whisperd.web.bodies import read_json
from whisperd.web.fields import FileField, text
from whisperd.web.keys import LIVE, SPOOL
from whisperd.web.uploads import MAX_FILES, Form, receive

BATCH = "/transcribe/batch"
SECRET = text("voice", "A data URL.", max_bytes=200_000)


@pytest.fixture
async def server(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as server:
        yield server


def files(*fields: str, content: bytes = RECORDING) -> FormData:
    data = FormData()
    for number, field in enumerate(fields):
        data.add_field(field, content, filename=f"{number}.wav")
    return data


@contextlib.asynccontextmanager
async def received(live: Live, data: FormData, *expected: FileField) -> AsyncIterator[Form]:
    """The form as a handler gets it; raises what the handler raised."""
    result: asyncio.Future[Form] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        try:
            async with receive(request, files=expected, fields=(SECRET,)) as form:
                result.set_result(form)
                await done.wait()
        except WhisperdError as error:
            if result.done():
                raise
            result.set_exception(error)
        return web.Response()

    spool = Spool(live.current.paths.spool)
    spool.sweep()
    app = web.Application()
    app[LIVE], app[SPOOL] = live, spool
    app.router.add_post("/", handle)
    async with TestClient(TestServer(app)) as client:
        asking = asyncio.create_task(client.post("/", data=data))
        try:
            yield await result
        finally:
            done.set()
            await asking


FILE = FileField(name="file")
FILES = FileField(name="files", many=True)
BRACKETS = FileField(name="files[]", many=True)


# ---- several recordings --------------------------------------------------------------------------


async def test_files_of_several_fields_come_in_their_order(live: Live) -> None:
    async with received(live, files("files", "file", "files[]", "files"), FILE, FILES, BRACKETS) as form:
        assert [(file.field, file.filename, file.size) for file in form.files] == [
            ("files", "0.wav", len(RECORDING)),
            ("file", "1.wav", len(RECORDING)),
            ("files[]", "2.wav", len(RECORDING)),
            ("files", "3.wav", len(RECORDING)),
        ]
        assert [file.path.read_bytes() for file in form.files] == [RECORDING] * 4
        assert len({file.path.parent for file in form.files}) == 4


async def test_one_recording_can_be_demanded(live: Live) -> None:
    async with received(live, files("files"), FILE, FILES) as form:
        assert form.recording() is form.files[0]
    async with received(live, files("files", "files"), FILE, FILES) as form:
        with pytest.raises(RequestError, match="more than one"):
            form.recording()
    data = FormData({"voice": "x"})
    data._is_multipart = True
    async with received(live, data, FILE, FILES) as form:
        assert form.files == ()
        with pytest.raises(MissingFile, match="`file` or `files`"):
            form.recording()


async def test_an_empty_one_of_several_is_refused(live: Live) -> None:
    with pytest.raises(EmptyFile):
        async with received(live, files("files", content=b""), FILES):
            pass


async def test_a_field_for_one_is_not_sent_twice(live: Live) -> None:
    with pytest.raises(RequestError, match="more than one file in `file`"):
        async with received(live, files("file", "file"), FILE, FILES):
            pass


async def test_recordings_are_limited_together(server: Web) -> None:
    server.live.current = changed(server.live.current, "limits", upload=Size("1MiB"))
    response = await server.client.post(BATCH, data=files("files", "files", content=b"x" * 600_000))
    assert response.status == 413
    assert "1MiB" in (await response.json())["detail"]
    assert server.spooled() == []


async def test_the_number_of_recordings_is_limited(server: Web) -> None:
    response = await server.client.post(BATCH, data=files(*["files"] * MAX_FILES))
    assert response.status == 200
    response = await server.client.post(BATCH, data=files(*["files"] * (MAX_FILES + 1)))
    assert response.status == 400
    assert str(MAX_FILES) in (await response.json())["detail"]


# ---- large fields --------------------------------------------------------------------------------


async def test_a_field_may_be_as_large_as_it_says(live: Live) -> None:
    data = files("file")
    data.add_field("voice", "x" * 200_000)
    async with received(live, data, FILE) as form:
        assert form.values.one(SECRET) == "x" * 200_000


async def test_a_field_that_is_larger_is_refused(live: Live) -> None:
    data = files("file")
    data.add_field("voice", "x" * 200_001)
    with pytest.raises(RequestError, match="195 KiB"):
        async with received(live, data, FILE):
            pass


# ---- JSON bodies ---------------------------------------------------------------------------------


class Inner(Struct):
    number: int


class Body(Struct):
    url: str
    inner: Inner | None = None
    offsets: list[float] = []


@pytest.fixture
async def reader(live: Live) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """Answers with what `read_json` made of the body, or with its error's status, code, field and words."""

    async def handle(request: web.Request) -> web.Response:
        try:
            body = await read_json(request, Body)
        except WhisperdError as error:
            found = [error.status, error.code, getattr(error, "param", None), error.message]
            return web.json_response(found)
        return web.json_response(body.url)

    app = web.Application()
    app[LIVE] = live
    app.router.add_post("/", handle)
    async with TestClient(TestServer(app)) as client:
        yield client


Reader = TestClient[web.Request, web.Application]


async def test_a_body_is_read(reader: Reader) -> None:
    response = await reader.post(
        "/", data=b'  {"url": "http://x", "colour": "red", "inner": {"number": 1}}\n'
    )
    assert await response.json() == "http://x"


@pytest.mark.parametrize(
    ("body", "status", "code", "param", "word"),
    [
        (b"", 400, "missing_parameter", "url", "`url`"),
        (b"{}", 400, "missing_parameter", "url", "`url`"),
        (b'{"url": "x", "inner": {}}', 400, "missing_parameter", "inner.number", "`inner.number`"),
        (b'{"url": 5}', 400, "invalid_parameter", "url", "expected `str`, got `int`"),
        (b'{"url": null}', 400, "invalid_parameter", "url", "got `null`"),
        (
            b'{"url": "x", "inner": {"number": "1"}}',
            400,
            "invalid_parameter",
            "inner.number",
            "expected `int`",
        ),
        (b'{"url": "x", "offsets": [1, "x"]}', 400, "invalid_parameter", "offsets[1]", "expected `float`"),
        (b"[]", 400, "invalid_parameter", None, "the body is wrong"),
        (b"{", 400, "invalid_request", None, "no valid JSON"),
        (b'{"url": "x"} more', 400, "invalid_request", None, "no valid JSON"),
        (b'{"url": "\xff"}', 400, "invalid_request", None, "no valid JSON"),
        (b'"' + b"x" * 2**20 + b'"', 413, "file_too_large", None, "1 MiB"),
    ],
)
async def test_a_body_that_is_wrong_says_what_and_where(
    reader: Reader, body: bytes, status: int, code: str, param: str | None, word: str
) -> None:
    found = await (await reader.post("/", data=io.BytesIO(body))).json()
    assert found[:3] == [status, code, param]
    assert word in found[3]


async def test_a_body_that_stops_coming_is_given_up(reader: Reader, live: Live) -> None:
    live.current = changed(live.current, "limits", upload_idle=Duration("50ms"))

    async def half() -> AsyncIterator[bytes]:
        yield b'{"url": '
        await asyncio.sleep(30)

    assert (await (await reader.post("/", data=half())).json())[:2] == [408, "upload_timeout"]
