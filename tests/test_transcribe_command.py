"""`whisperd transcribe` against a server that notes what it was sent."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import BodyPartReader, web
from aiohttp.test_utils import TestServer, unused_port

from whisperd.__main__ import main

# aiohttp's own reader of multipart bodies calls a function that aiohttp has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:unread_data:DeprecationWarning")

Form = list[tuple[str, str]]

RECORDING = b"RIFF" + bytes(range(256)) * 4096
"""Larger than any buffer on its way."""


class Endpoint:
    """The daemon's endpoint, as far as the command knows it."""

    def __init__(self) -> None:
        self.forms: list[Form] = []
        self.files: list[tuple[str, bytes]] = []
        self.keys: list[str | None] = []
        """The headers that said who it was."""
        self.replies: list[web.Response] = []
        """What it answers, in order; then a line that names the file."""

    async def handle(self, request: web.Request) -> web.Response:
        form: Form = []
        name = ""
        self.keys.append(request.headers.get("Authorization"))
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "file":
                name = part.filename or ""
                self.files.append((name, bytes(await part.read())))
            else:
                form.append((part.name or "", await part.text()))
        self.forms.append(form)
        return self.replies.pop(0) if self.replies else web.Response(text=f"words of {name}\n")


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
async def url(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of the running server, which is also that of the environment."""
    app = web.Application(client_max_size=2**30)
    app.router.add_post("/v1/audio/transcriptions", endpoint.handle)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        monkeypatch.setenv("WHISPERD_SERVER", url)
        yield url


@pytest.fixture
def wave(tmp_path: Path) -> str:
    """A file to send."""
    path = tmp_path / "a talk.wav"
    path.write_bytes(RECORDING)
    return str(path)


async def transcribe(*words: str) -> int:
    """Type it; the exit status."""
    return await asyncio.to_thread(main, ["transcribe", *words])


def usage_error(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["transcribe", *words])
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.usefixtures("url")
async def test_the_transcript_is_printed(
    endpoint: Endpoint, wave: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await transcribe(wave) == 0
    assert capsys.readouterr() == ("words of a talk.wav\n", "")
    assert endpoint.files == [("a talk.wav", RECORDING)]
    assert endpoint.forms == [[("model", "whisper-1"), ("response_format", "text")]]


@pytest.mark.usefixtures("url")
async def test_the_key_is_that_of_the_environment(
    endpoint: Endpoint, wave: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await transcribe(wave) == 0
    monkeypatch.setenv("WHISPERD_KEY", "lx_key")
    assert await transcribe(wave) == 0
    assert endpoint.keys == [None, "Bearer lx_key"]


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (["--format", "srt"], [("response_format", "srt")]),
        (["--format", "vtt"], [("response_format", "vtt")]),
        (["--model", "base"], [("model", "base")]),
        (["--language", "fr"], [("language", "fr")]),
        (["--prompt", "Ada, Grace"], [("prompt", "Ada, Grace")]),
        (["--multilingual"], [("multilingual", "true")]),
        (["--condition-on-previous-text"], [("condition_on_previous_text", "true")]),
        (["--drop-doubted"], [("drop_doubted", "true")]),
        (["--speakers"], [("diarize", "true")]),
        (["--num-speakers", "2"], [("num_speakers", "2"), ("diarize", "true")]),
        (
            ["--speakers", "--min-speakers", "2", "--max-speakers", "4"],
            [("min_speakers", "2"), ("max_speakers", "4"), ("diarize", "true")],
        ),
    ],
)
async def test_options_become_fields(endpoint: Endpoint, wave: str, words: list[str], sent: Form) -> None:
    assert await transcribe(wave, *words) == 0
    defaults = {"model": "whisper-1", "response_format": "text"}
    wanted = [(name, value) for name, value in defaults.items() if name not in dict(sent)] + sent
    assert sorted(endpoint.forms[0]) == sorted(wanted)


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(("words", "granularities"), [([], ["segment"]), (["--words"], ["segment", "word"])])
async def test_json_is_the_verbose_answer_as_it_came(
    endpoint: Endpoint,
    wave: str,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    granularities: list[str],
) -> None:
    answer = {"text": "Hi.", "segments": [{"speaker": "SPEAKER_00"}]}
    endpoint.replies = [web.json_response(answer)]
    assert await transcribe(wave, "--format", "json", *words) == 0
    assert json.loads(capsys.readouterr().out) == answer
    assert ("response_format", "verbose_json") in endpoint.forms[0]
    assert [
        value for name, value in endpoint.forms[0] if name == "timestamp_granularities[]"
    ] == granularities


@pytest.mark.usefixtures("url")
async def test_warnings_of_either_kind_are_told_on_stderr(
    endpoint: Endpoint, wave: str, capsys: pytest.CaptureFixture[str]
) -> None:
    notice = {"code": "diarization_failed", "message": "no speakers: out of memory"}
    endpoint.replies = [
        web.json_response({"text": "", "warnings": [notice]}),
        web.Response(text="Hi.", headers={"X-Whisperd-Warnings": "diarization_failed, audio_truncated"}),
    ]
    assert await transcribe(wave, "--format", "json") == 0
    assert capsys.readouterr().err == f"whisperd: {wave}: warning: no speakers: out of memory\n"
    assert await transcribe(wave) == 0
    assert capsys.readouterr() == (
        "Hi.\n",
        f"whisperd: {wave}: warning: diarization_failed\nwhisperd: {wave}: warning: audio_truncated\n",
    )


@pytest.mark.usefixtures("url")
async def test_one_recording_that_fails_does_not_keep_the_others_back(
    endpoint: Endpoint, tmp_path: Path, wave: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = {"error": {"message": "not a recording", "type": "x", "param": None, "code": "invalid_audio"}}
    endpoint.replies = [web.json_response(error, status=400), web.Response(text="down", status=502)]
    missing = str(tmp_path / "none.wav")
    assert await transcribe(wave, wave, missing, wave) == 1
    printed, complaints = capsys.readouterr()
    assert printed == f"==> {wave} <==\nwords of a talk.wav\n"
    assert complaints.splitlines() == [
        f"whisperd: {wave}: not a recording",
        f"whisperd: {wave}: the server answered 502 Bad Gateway",
        f"whisperd: {missing}: No such file or directory",
    ]


async def test_a_server_that_refuses_before_it_has_read_all_is_heard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "too large"}}, status=413)

    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(64 * 2**20)
    app = web.Application()
    app.router.add_post("/v1/audio/transcriptions", refuse)
    async with TestServer(app) as server:
        assert await transcribe(str(large), "--server", str(server.make_url(""))) == 1
    assert capsys.readouterr().err == f"whisperd: {large}: too large\n"


async def test_a_connection_that_breaks_is_told(wave: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def hang_up(request: web.Request) -> web.Response:
        await request.read()
        assert request.transport
        request.transport.close()
        return web.Response()

    app = web.Application(client_max_size=2**30)
    app.router.add_post("/v1/audio/transcriptions", hang_up)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        assert await transcribe(wave, "--server", url) == 1
    assert capsys.readouterr().err == (
        f"whisperd: {wave}: the connection to {url} broke: Server disconnected\n"
    )


async def test_an_answer_that_is_no_json_is_told(
    url: str, endpoint: Endpoint, wave: str, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint.replies = [web.Response(text="<html>", content_type="application/json")]
    assert await transcribe(wave, "--format", "json", "--server", url) == 1
    assert "the server's answer is not a transcript" in capsys.readouterr().err


async def test_a_daemon_that_does_not_run_is_told_once_with_its_address(
    wave: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    assert await transcribe(wave, wave, "--server", url) == 1
    printed, complaint = capsys.readouterr()
    assert printed == ""
    assert complaint == (
        f"whisperd: no answer from {url} (Connection refused); is the daemon running? "
        "Ask: systemctl status whisperd\n"
    )


async def test_a_unix_socket_will_do(
    endpoint: Endpoint, tmp_path: Path, wave: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"unix:{tmp_path}/http.sock"
    assert await transcribe(wave, "--server", address) == 1
    assert f"no answer from {address} (No such file or directory)" in capsys.readouterr().err
    app = web.Application(client_max_size=2**30)
    app.router.add_post("/v1/audio/transcriptions", endpoint.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, f"{tmp_path}/http.sock").start()
        assert await transcribe(wave, "--server", address) == 0
    finally:
        await runner.cleanup()
    assert capsys.readouterr().out == "words of a talk.wav\n"


# ---- input and output ----------------------------------------------------------------------------


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of standard input."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield writing


@pytest.mark.usefixtures("url")
async def test_standard_input_is_sent_while_it_comes(
    endpoint: Endpoint, pipe: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command = asyncio.create_task(transcribe("-"))

    def feed() -> None:
        with os.fdopen(pipe, "wb") as file:
            file.write(RECORDING)

    await asyncio.to_thread(feed)
    assert await command == 0
    assert endpoint.files == [("standard input", RECORDING)]
    assert capsys.readouterr().out == "words of standard input\n"


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(
    ("output", "written"),
    [
        ("out.txt", "out.txt"),
        ("deep/er/out", "deep/er/out"),
        ("new/", "new/a talk.srt"),
        ("there", "there/a talk.srt"),
    ],
)
async def test_one_transcript_goes_to_a_file_or_into_a_directory(
    tmp_path: Path, wave: str, capsys: pytest.CaptureFixture[str], output: str, written: str
) -> None:
    await asyncio.to_thread((tmp_path / "there").mkdir)
    assert await transcribe(wave, "--format", "srt", "--output", f"{tmp_path}/{output}") == 0
    assert capsys.readouterr().out == ""
    assert await asyncio.to_thread((tmp_path / written).read_text) == "words of a talk.wav\n"


@pytest.mark.usefixtures("url")
async def test_several_transcripts_go_into_a_directory(tmp_path: Path, wave: str) -> None:
    other = await asyncio.to_thread(Path(wave).rename, tmp_path / "b.mp3")
    await asyncio.to_thread((tmp_path / "a.wav").write_bytes, b"RIFF")
    assert await transcribe(str(other), str(tmp_path / "a.wav"), "--output", f"{tmp_path}/out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.txt", "b.txt"}


@pytest.mark.usefixtures("url")
async def test_a_place_that_can_not_be_written_is_told(wave: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await transcribe(wave, "--output", f"{wave}/x/y.txt") == 1
    assert capsys.readouterr().err == f"whisperd: {wave}/x: Not a directory\n"


@pytest.mark.usefixtures("url")
async def test_a_name_that_no_header_can_hold_is_sent_in_another_form(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    path = os.fsencode(tmp_path) + b"/n\xff\nx.wav"
    await asyncio.to_thread(Path(os.fsdecode(path)).write_bytes, b"RIFF")
    assert await transcribe(os.fsdecode(path)) == 0
    assert endpoint.files == [("n__x.wav", b"RIFF")]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "the following arguments are required: FILE"),
        (["a.wav", "--words"], "--words needs --format json"),
        (["a.wav", "b.wav", "--format", "srt"], "subtitles of several recordings need --output DIRECTORY"),
        (["x/a.wav", "y/a.mp3", "--output", "out"], "two of the recordings would be written to one file"),
        (["a.wav", "--server", "speech.lan:8000"], '"speech.lan:8000" is neither http://HOST:PORT, https://'),
        (["a.wav", "--format", "docx"], "invalid choice: 'docx'"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert usage_error(*words) == 2
    assert complaint in capsys.readouterr().err


# ---- the bar -------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("url")
async def test_a_terminal_sees_how_the_recording_fares(
    wave: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert await transcribe(wave) == 0
    assert "a talk.wav" in terminal.getvalue()
    assert "working" in terminal.getvalue()
    assert capsys.readouterr().out == "words of a talk.wav\n"
