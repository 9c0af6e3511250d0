"""`uploads.py CLIENT URL RECORDING`: uploads once, and prints the answer's status and its Retry-After."""

import asyncio
import http.client
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

PATH = "/v1/audio/transcriptions"
FIELDS = {"model": "whisper-1"}

Told = tuple[int, str | None]


def by_requests(url: str, recording: Path) -> Told:
    import requests

    with recording.open("rb") as file:
        response = requests.post(url + PATH, data=FIELDS, files={"file": file}, timeout=60)
    return response.status_code, response.headers.get("Retry-After")


def by_urllib3(url: str, recording: Path) -> Told:
    import urllib3

    file = (recording.name, recording.read_bytes())
    response = urllib3.request("POST", url + PATH, fields={"model": "whisper-1", "file": file}, retries=False)
    return response.status, response.headers.get("Retry-After")


def by_http_client(url: str, recording: Path) -> Told:
    """The standard library's, which gives a broken pipe to its caller."""
    disposition = "Content-Disposition: form-data; name="
    head = f"--b\r\n{disposition}model\r\n\r\nwhisper-1\r\n--b\r\n{disposition}file; filename=x\r\n\r\n"
    body = head.encode() + recording.read_bytes() + b"\r\n--b--\r\n"
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    connection.request("POST", PATH, body, {"Content-Type": "multipart/form-data; boundary=b"})
    response = connection.getresponse()
    response.read()
    return response.status, response.getheader("Retry-After")


def by_httpx(url: str, recording: Path) -> Told:
    import httpx2 as httpx

    with recording.open("rb") as file:
        response = httpx.post(url + PATH, data=FIELDS, files={"file": file}, timeout=60)
    return response.status_code, response.headers.get("Retry-After")


def by_openai(url: str, recording: Path) -> Told:
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    try:
        client.audio.transcriptions.create(model="whisper-1", file=recording)
    except openai.APIStatusError as error:
        return error.status_code, error.response.headers.get("Retry-After")
    return 200, None


def by_aiohttp(url: str, recording: Path) -> Told:
    import aiohttp

    form = aiohttp.FormData(FIELDS)
    form.add_field("file", recording.read_bytes(), filename=recording.name)

    async def upload() -> Told:
        async with aiohttp.ClientSession() as session, session.post(url + PATH, data=form) as response:
            return response.status, response.headers.get("Retry-After")

    return asyncio.run(upload())


def by_curl(url: str, recording: Path) -> Told:
    form = ("--form", "model=whisper-1", "--form", f"file=@{recording}")
    wanted = ("--silent", "--output", "/dev/null", "--write-out", "%{http_code} %header{retry-after}")
    told = subprocess.run(["curl", *wanted, *form, url + PATH], capture_output=True, text=True, check=True)
    status, retry_after = told.stdout.split()
    return int(status), retry_after


CLIENTS: dict[str, Callable[[str, Path], Told]] = {
    "requests": by_requests,
    "urllib3": by_urllib3,
    "http.client": by_http_client,
    "httpx": by_httpx,
    "openai": by_openai,
    "aiohttp": by_aiohttp,
    "curl": by_curl,
}

if __name__ == "__main__":
    name, url, recording = sys.argv[1:]
    print(*CLIENTS[name](url, Path(recording)))
