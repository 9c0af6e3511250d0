"""For those who run the service: health, metrics, the API's description and its page."""

import datetime
import importlib.util
from pathlib import Path
from typing import Final, Literal

import msgspec
from aiohttp import web
from msgspec import Struct

from whisperd import __version__
from whisperd.errors import NotReady, WhisperdError
from whisperd.status import QueueStatus, Status, WorkerStatus
from whisperd.transcript.model import Notice
from whisperd.web.endpoint import Dialect, Endpoint, Reply
from whisperd.web.keys import DOCUMENT, LLM, METRICS, SERVICE


class Detail(Struct, frozen=True):
    """What is wrong."""

    detail: str


def render_error(_: web.Request, error: WhisperdError) -> web.Response:
    """`{"detail": ...}`."""
    return _json(Detail(error.message), error.status)


DIALECT: Final = Dialect(name="ops", render_error=render_error, error=Detail, quiet=True, always=True)


# ---- health --------------------------------------------------------------------------------------


class Services(Struct, frozen=True, kw_only=True):
    """Parts of the service. No other state's name has `healthy` in it: scripts look for the bare word."""

    stt: Literal["healthy", "unavailable"]
    diarization: Literal["healthy", "unavailable"]
    llm: Literal["healthy", "unavailable"]
    """A language model's server, where one is configured."""


class Health(Struct, frozen=True, kw_only=True):
    """The state of the service: what clients of several systems look for, under their names, and our own."""

    status: Literal["healthy", "starting", "degraded", "stopping"]
    ready: bool
    reason: str | None
    """Why a job could not run now."""
    version: str
    model: str | None
    device: str | None
    """`cpu`, or `cuda (NAME)`."""
    gpu_available: bool
    """Whether transcription runs on a GPU."""
    gpu_name: str | None
    compute_type: str | None
    whisper_loaded: bool
    diarization_loaded: bool
    services: Services
    timestamp: str
    """UTC, without a zone's suffix."""
    uptime_s: float
    running: int
    waiting: int
    workers: list[WorkerStatus]
    queues: list[QueueStatus]
    notes: list[Notice]


class Live(Struct, frozen=True):
    """The event loop turns."""

    live: Literal[True] = True


class Readiness(Struct, frozen=True):
    """Whether a job could run now, and how much there is to do before it."""

    ready: bool
    reason: str | None
    queues: list[QueueStatus]


def describe(status: Status, *, llm: bool) -> Health:
    """The status as clients read it. `llm`: whether a language model's server answers."""
    stt, diarization = status.worker("transcribe"), status.worker("diarize")
    name = stt.device_name if stt else None
    device = stt.device if stt else None
    return Health(
        status=_word(status),
        ready=status.ready,
        reason=status.reason,
        version=status.version,
        model=stt.model if stt else None,
        device=f"cuda ({name})" if name else device,
        gpu_available=bool(device and device.startswith("cuda")),
        gpu_name=name,
        compute_type=stt.compute_type if stt else None,
        whisper_loaded=_up(stt),
        diarization_loaded=_up(diarization),
        services=Services(
            stt=_can(status, stt),
            diarization=_can(status, diarization),
            llm="healthy" if llm else "unavailable",
        ),
        timestamp=datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat(),
        uptime_s=round(status.uptime_s, 3),
        running=status.running,
        waiting=status.waiting,
        workers=status.workers,
        queues=status.queues,
        notes=status.notes,
    )


def _can(status: Status, worker: WorkerStatus | None) -> Literal["healthy", "unavailable"]:
    """Whether a job for the worker could run; one without a model in memory loads it first."""
    able = worker is not None and worker.state in ("ready", "unloaded")
    return "healthy" if status.ready and able else "unavailable"


def _up(worker: WorkerStatus | None) -> bool:
    return worker is not None and worker.state == "ready"


def _word(status: Status) -> Literal["healthy", "starting", "degraded", "stopping"]:
    if status.draining:
        return "stopping"
    if status.ready:
        return "healthy"
    return "starting" if any(worker.state == "starting" for worker in status.workers) else "degraded"


async def health(request: web.Request) -> web.Response:
    """Answer 200 whatever the state: the body tells it."""
    llm = await request.app[LLM].answers()
    return _json(describe(request.app[SERVICE].status(), llm=llm))


async def live(_: web.Request) -> web.Response:
    """Answer."""
    return _json(Live())


async def ready(request: web.Request) -> web.Response:
    """200 when a job could run, 503 when not."""
    status = request.app[SERVICE].status()
    return _json(Readiness(status.ready, status.reason, status.queues), 200 if status.ready else 503)


async def metrics(request: web.Request) -> web.Response:
    """Prometheus's format."""
    body, content_type = request.app[METRICS].exposition(request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


# ---- documentation -------------------------------------------------------------------------------

# The library sets styles one by one, by the DOM, which a policy without 'unsafe-inline' allows.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>whisperd</title><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body>
<div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START: Final = b'SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", validatorUrl: null});\n'
_ASSETS: Final = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


def _swagger_ui() -> Path:
    """Where the library's files are; found without importing it, which would bring a template engine."""
    spec = importlib.util.find_spec("swagger_ui")
    if spec is None or not spec.origin:
        raise WhisperdError("the API's page is not installed")
    return Path(spec.origin).parent / "static"


async def docs(request: web.Request) -> web.Response:
    """The page, all of whose parts come from here; 503 until a job could run, for some watch us by it."""
    if reason := request.app[SERVICE].status().reason:
        raise NotReady(f"not ready: {reason}")
    return web.Response(
        body=_PAGE, content_type="text/html", charset="utf-8", headers={"Content-Security-Policy": _POLICY}
    )


async def docs_asset(request: web.Request) -> web.StreamResponse:
    """A part of the page; browsers keep it, but ask whether it has changed."""
    name = request.match_info["asset"]
    if name == "start.js":
        return web.Response(body=_START, content_type="text/javascript")
    if name not in _ASSETS:
        raise web.HTTPNotFound
    headers = {"Content-Type": _ASSETS[name], "Cache-Control": "no-cache"}
    return web.FileResponse(_swagger_ui() / name, headers=headers)


async def document(request: web.Request) -> web.Response:
    """The API's description."""
    return web.Response(body=request.app[DOCUMENT], content_type="application/json")


class Home(Struct, frozen=True, kw_only=True):
    """Where to look."""

    name: Literal["whisperd"] = "whisperd"
    version: str = __version__
    docs: Literal["/docs"] = "/docs"
    openapi: Literal["/openapi.json"] = "/openapi.json"


async def home(request: web.Request) -> web.Response:
    """Browsers are led to the page, programs told where it is."""
    if "text/html" in request.headers.get("Accept", ""):
        return await page(request)
    response = _json(Home())
    response.headers["Vary"] = "Accept"
    return response


async def page(_: web.Request) -> web.Response:
    """To the page."""
    return web.Response(status=302, headers={"Location": "/docs", "Vary": "Accept"})


def _json(body: Struct, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/health",
        handler=health,
        dialect=DIALECT,
        permission=None,
        summary="The state of the service",
        replies=(Reply(doc="The state, good or bad", bodies=(Health,)),),
    ),
    Endpoint(
        method="GET",
        path="/health/live",
        handler=live,
        dialect=DIALECT,
        permission=None,
        summary="Whether the daemon turns",
        replies=(Reply(doc="It does", bodies=(Live,)),),
    ),
    Endpoint(
        method="GET",
        path="/health/ready",
        handler=ready,
        dialect=DIALECT,
        permission=None,
        summary="Whether a job could run",
        replies=(
            Reply(doc="It could", bodies=(Readiness,)),
            Reply(doc="It could not, and why", bodies=(Readiness,), status=503),
        ),
    ),
    Endpoint(
        method="GET",
        path="/metrics",
        handler=metrics,
        dialect=DIALECT,
        permission=None,
        summary="Numbers for Prometheus",
        replies=(Reply(doc="Prometheus's text format", content_type="text/plain"),),
    ),
    Endpoint(
        method="GET",
        path="/openapi.json",
        handler=document,
        dialect=DIALECT,
        permission=None,
        summary="This description",
        replies=(Reply(doc="OpenAPI 3.1"),),
    ),
    Endpoint(
        method="GET",
        path="/docs",
        handler=docs,
        dialect=DIALECT,
        permission=None,
        summary="This description as a page",
        doc="Answers 503 while no job could run: deployments use it as their health check.",
        replies=(Reply(doc="The page", content_type="text/html"),),
    ),
)
