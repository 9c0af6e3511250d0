"""The Flask transcriber's other endpoints: downloads, its health, the GPU's memory, and giving that back."""

import os
from typing import Any, Final, Literal

from aiohttp import web
from msgspec import Struct

from whisperd.errors import UnknownRoute
from whisperd.web.bodies import json_reply
from whisperd.web.dialects.flask import DIALECT, has_gpu, owner
from whisperd.web.dialects.flask_gpu import GpuJson, VramJson, loaded, read_gpu, read_vram
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import text
from whisperd.web.keys import DOWNLOADS, GATE, SERVICE

# ---- downloads -----------------------------------------------------------------------------------

NAME: Final = text("name", "As a reply's link has it.")
_CONTENT_TYPES: Final = {".txt": "text/plain", ".srt": "application/x-subrip", ".md": "text/markdown"}


async def download(request: web.Request) -> web.StreamResponse:
    """A text, for the caller that it was made for."""
    path = request.app[DOWNLOADS].find(request.match_info["name"], owner(request))
    if path is None:
        raise UnknownRoute("File not found.")
    return web.FileResponse(
        path,
        headers={
            "Content-Type": f"{_CONTENT_TYPES[path.suffix]}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{path.name}"',
        },
    )


# ---- health --------------------------------------------------------------------------------------


class BackendsJson(Struct, frozen=True, kw_only=True):
    """Who can transcribe: this machine, and nobody else."""

    local: Literal[True] = True
    openai: Literal[False] = False
    assemblyai: Literal[False] = False


class DiarizationJson(Struct, frozen=True, kw_only=True):
    """Whether speakers can be told apart."""

    local: bool
    model_loaded: bool
    vram: VramJson


class HealthJson(Struct, frozen=True, kw_only=True):
    """The state of the service."""

    status: Literal["ok", "unavailable"]
    model: str
    default_device: str
    gpu_supported: bool
    diagnostic_notes: list[str]
    uptime_seconds: float
    requires_auth: bool
    backends: BackendsJson = BackendsJson()
    diarization: DiarizationJson


async def healthz(request: web.Request) -> web.StreamResponse:
    """200 when a job could run, 503 when not."""
    status = request.app[SERVICE].status()
    worker = status.worker("transcribe")
    notes = [notice.message for notice in status.notes]
    body = HealthJson(
        status="ok" if status.ready else "unavailable",
        model=(worker and worker.model) or "",
        default_device="cuda" if has_gpu(request) else "cpu",
        gpu_supported=has_gpu(request),
        diagnostic_notes=[*notes, status.reason] if status.reason else notes,
        uptime_seconds=round(status.uptime_s, 3),
        requires_auth=request.app[GATE].requires_key,
        diarization=DiarizationJson(
            local=status.worker("diarize") is not None,
            model_loaded=bool(loaded(status, "diarize")),
            vram=await read_vram(status),
        ),
    )
    return json_reply(body, 200 if status.ready else 503)


# ---- the GPU's memory --------------------------------------------------------------------------


class WhisperUnloadedJson(Struct, frozen=True, kw_only=True):
    """What was given back."""

    status: Literal["success"] = "success"
    message: str
    models_unloaded: int
    worker_pid: int
    gpu_status: GpuJson


class DiarizationUnloadedJson(Struct, frozen=True, kw_only=True):
    """What was given back."""

    status: Literal["success"] = "success"
    message: str
    vram: VramJson


async def gpu_status(request: web.Request) -> web.StreamResponse:
    """Tell of the GPU's memory."""
    return json_reply(await read_gpu(request.app[SERVICE].status()))


async def unload_whisper(request: web.Request) -> web.StreamResponse:
    """End the workers of Whisper models that nobody needs now."""
    service = request.app[SERVICE]
    models = await service.unload("transcribe")
    return json_reply(
        WhisperUnloadedJson(
            message=_unloaded(models),
            models_unloaded=len(models),
            worker_pid=os.getpid(),
            gpu_status=await read_gpu(service.status()),
        )
    )


async def unload_diarization(request: web.Request) -> web.StreamResponse:
    """End the diarization worker, where nobody needs it now."""
    service = request.app[SERVICE]
    models = await service.unload("diarize")
    return json_reply(
        DiarizationUnloadedJson(message=_unloaded(models), vram=await read_vram(service.status()))
    )


def _unloaded(models: list[str]) -> str:
    if not models:
        return "Nothing was unloaded: no model is in memory that nobody needs now."
    return f"Unloaded {', '.join(models)}; the next request loads it again."


# ---- the endpoints -------------------------------------------------------------------------------


def _get(path: str, handler: Any, summary: str, *replies: Reply, **more: Any) -> Endpoint:
    return Endpoint(
        method="GET", path=path, handler=handler, dialect=DIALECT, summary=summary, replies=replies, **more
    )


def _post(path: str, handler: Any, summary: str, reply: type[Struct]) -> Endpoint:
    doc = "What was given back"
    return Endpoint(
        method="POST",
        path=path,
        handler=handler,
        dialect=DIALECT,
        permission="admin",
        summary=summary,
        replies=(Reply(doc=doc, bodies=(reply,)),),
    )


ENDPOINTS: Final = (
    _get(
        "/download/{name:.+}",
        download,
        "A text that a reply linked to",
        *(Reply(doc=f"`{suffix}`", content_type=kind) for suffix, kind in _CONTENT_TYPES.items()),
        captures=(NAME,),
    ),
    _get(
        "/healthz",
        healthz,
        "The state of the service, as the Flask transcriber tells it",
        Reply(doc="A job could run", bodies=(HealthJson,)),
        Reply(doc="None could, and the notes say why", bodies=(HealthJson,), status=503),
        permission=None,
    ),
    _get(
        "/gpu/status",
        gpu_status,
        "The GPU's memory",
        Reply(doc="What is in use", bodies=(GpuJson,)),
        permission="any",
    ),
    _post("/whisper/unload", unload_whisper, "Give the Whisper models' memory back", WhisperUnloadedJson),
    _post(
        "/diarization/unload", unload_diarization, "Give diarization's memory back", DiarizationUnloadedJson
    ),
)
