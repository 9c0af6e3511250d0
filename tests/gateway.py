"""Asking Lexia's gateway: handing in, waiting for the end, looking."""

import io
from typing import Any

from aiohttp import ClientResponse, FormData
from fake_service import RECORDING, Web, form

TRANSCRIPTIONS = "/v1/transcriptions"
DIARIZATION = "/v1/diarization"
JOBS = "/v1/jobs"

NOBODYS = "00000000-0000-4000-8000-000000000000"
"""An id that no job has."""

THERE = "http://example.org/talk.mp3"


async def submit(web: Web, path: str = TRANSCRIPTIONS, **fields: str) -> Any:
    """Hand a recording in; what is answered."""
    return await body_of(await web.client.post(path, data=form("audio", **fields)), 202)


async def look(web: Web, path: str, **query: str) -> Any:
    """What is at a path."""
    return await body_of(await web.client.get(path, params=query))


async def ended(web: Web, job_id: str) -> Any:
    """The job, once it has ended."""
    job = await look(web, f"{JOBS}/{job_id}", wait="30")
    assert job["status"] in ("completed", "failed", "cancelled")
    return job


async def running(web: Web, job_id: str) -> Any:
    """The job, once its first segment was heard; `web.service.may_answer` holds it there."""
    async for event in web.desk.events(job_id, "anybody"):
        if event.kind == "segment":
            break
    return await look(web, f"{JOBS}/{job_id}")


async def body_of(response: ClientResponse, status: int = 200) -> Any:
    """The JSON of a reply."""
    assert response.status == status, await response.text()
    return await response.json()


def fileless(**fields: str) -> FormData:
    """A form of several parts without a file."""
    return FormData(fields, default_to_multipart=True)


def named(filename: str, content: bytes | io.BytesIO = RECORDING) -> FormData:
    """A form with a recording of this name."""
    data = FormData()
    data.add_field("audio", content, filename=filename)
    return data
