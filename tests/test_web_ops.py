"""For those who run the service: health, readiness, metrics, and a page that needs nobody else."""

import io
import re
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest
from fake_service import READY, SPOKEN, TRANSCRIPT, Web, form, serving
from msgspec.structs import asdict, replace
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_fd_to_metric_families

from whisperd.config.live import Live
from whisperd.status import QueueStatus, Status, WorkerState, WorkerStatus
from whisperd.transcript.model import Notice


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


async def health(web: Web) -> Any:
    response = await web.client.get("/health")
    assert response.status == 200
    return await response.json()


def with_state(state: WorkerState, *, reason: str | None, draining: bool = False) -> Status:
    workers = [
        replace(worker, state=state) if worker.kind == "transcribe" else worker for worker in READY.workers
    ]
    return replace(READY, ready=reason is None, reason=reason, draining=draining, workers=workers)


# ---- health --------------------------------------------------------------------------------------


async def test_health_answers_under_the_names_of_all_clients(web: Web) -> None:
    body = await health(web)
    assert body["status"] == "healthy"
    assert body["ready"] is True
    assert body["reason"] is None
    assert body["model"] == "tiny.en"
    assert body["device"] == "cpu"
    assert body["gpu_available"] is False
    assert body["gpu_name"] is None
    assert body["compute_type"] == "int8"
    assert body["whisper_loaded"] is True
    assert body["diarization_loaded"] is True
    assert body["services"] == {"stt": "healthy", "diarization": "healthy", "llm": "unavailable"}
    assert body["version"] == "1.2.3"
    assert body["uptime_s"] == 12.346
    assert (body["running"], body["waiting"]) == (1, 2)
    assert [worker["kind"] for worker in body["workers"]] == ["decode", "transcribe", "diarize"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", body["timestamp"])


@pytest.mark.parametrize(
    ("status", "word", "loaded"),
    [
        (with_state("starting", reason="the transcribe worker is starting"), "starting", False),
        (with_state("restarting", reason="the transcribe worker died"), "degraded", False),
        (with_state("failed", reason="no model"), "degraded", False),
        (with_state("ready", reason="the daemon is stopping", draining=True), "stopping", True),
    ],
)
async def test_health_says_in_one_word_how_it_is(web: Web, status: Status, word: str, loaded: bool) -> None:
    web.service.state = status
    body = await health(web)
    assert body["status"] == word
    assert body["reason"] == status.reason
    assert body["ready"] is False
    assert body["services"]["stt"] == "unavailable"
    assert body["whisper_loaded"] is loaded
    assert "healthy" not in await (await web.client.get("/health")).text(), "scripts look for the bare word"


async def test_a_model_that_was_unloaded_is_not_loaded_but_can_be_used(web: Web) -> None:
    web.service.state = with_state("unloaded", reason=None)
    body = await health(web)
    assert (body["status"], body["whisper_loaded"]) == ("healthy", False)
    assert body["services"]["stt"] == "healthy"


async def test_health_has_every_key_that_a_client_of_another_system_reads(web: Web) -> None:
    werify = {"status", "model", "device", "gpu_available", "gpu_name"}
    lexia = {"status", "whisper_loaded", "diarization_loaded", "device"}
    lexia_gateway = {"status", "version", "services", "timestamp"}
    body = await health(web)
    assert werify | lexia | lexia_gateway <= set(body)
    assert {"llm", "stt"} <= set(body["services"])


async def test_health_names_the_card(web: Web) -> None:
    worker = WorkerStatus(kind="transcribe", state="ready", device="cuda:0", device_name="NVIDIA H200")
    web.service.state = replace(READY, workers=[worker])
    body = await health(web)
    assert body["device"] == "cuda (NVIDIA H200)"
    assert body["gpu_available"] is True
    assert body["gpu_name"] == "NVIDIA H200"


async def test_health_without_diarization_says_so(web: Web) -> None:
    workers = [worker for worker in READY.workers if worker.kind != "diarize"]
    web.service.state = replace(READY, workers=workers)
    body = await health(web)
    assert body["diarization_loaded"] is False
    assert body["services"]["diarization"] == "unavailable"
    assert body["status"] == "healthy"


async def test_health_tells_what_is_less_than_it_could_be(web: Web) -> None:
    web.service.state = replace(READY, notes=[Notice("cpu_only", "no GPU was found")])
    assert (await health(web))["notes"] == [{"code": "cpu_only", "message": "no GPU was found"}]


async def test_live_is_always_live(web: Web) -> None:
    web.service.state = with_state("failed", reason="no model")
    response = await web.client.get("/health/live")
    assert (response.status, await response.json()) == (200, {"live": True})


async def test_ready_is_503_with_the_reason_until_a_job_could_run(web: Web) -> None:
    response = await web.client.get("/health/ready")
    assert (response.status, await response.json()) == (
        200,
        {"ready": True, "reason": None, "queues": []},
    )
    web.service.state = with_state("starting", reason="the transcribe worker is starting")
    response = await web.client.get("/health/ready")
    assert response.status == 503
    assert await response.json() == {
        "ready": False,
        "reason": "the transcribe worker is starting",
        "queues": [],
    }


async def test_the_page_is_503_until_a_job_could_run(web: Web) -> None:
    assert (await web.client.get("/docs")).status == 200
    web.service.state = with_state("starting", reason="the transcribe worker is starting")
    response = await web.client.get("/docs")
    assert response.status == 503
    assert "starting" in (await response.json())["detail"]


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/docs"])
async def test_a_load_balancer_may_ask_without_wanting_the_body(web: Web, path: str) -> None:
    response = await web.client.head(path)
    assert response.status == 200
    assert await response.read() == b""


# ---- metrics -------------------------------------------------------------------------------------


async def samples(web: Web) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    response = await web.client.get("/metrics")
    assert response.content_type == "text/plain"
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_fd_to_metric_families(io.StringIO(await response.text()))
        for sample in family.samples
    }


async def test_metrics_count_requests_by_dialect_and_outcome(web: Web) -> None:
    await web.client.post("/v1/audio/transcriptions", data=form())
    await web.client.post("/transcribe", data=form())
    await web.client.post("/transcribe", data=form(), params={"task": "nonsense"})
    found = await samples(web)

    def ended(dialect: str, outcome: str, status: str) -> float:
        labels = {"dialect": dialect, "outcome": outcome, "status": status}
        return found["whisperd_requests_total", frozenset(labels.items())]

    assert ended("openai", "ok", "200") == 1
    assert ended("werify", "ok", "200") == 1
    assert ended("werify", "refused", "422") == 1
    by_dialect = frozenset({("dialect", "openai")})
    assert found["whisperd_audio_seconds_total", by_dialect] == TRANSCRIPT.duration
    assert found["whisperd_request_seconds_count", by_dialect] == 1


async def test_metrics_tell_where_the_time_went(web: Web) -> None:
    web.service.answer = SPOKEN
    await web.client.post("/v1/audio/diarization", data=form())
    found = await samples(web)
    for stage, seconds in {"queue": 0.0, "decode": 0.1, "transcribe": 1.4, "diarize": 1.0}.items():
        assert found["whisperd_stage_seconds_sum", frozenset({("stage", stage)})] == seconds


async def test_metrics_tell_the_state_of_each_worker(web: Web) -> None:
    workers = [
        WorkerStatus(
            kind="transcribe",
            state="restarting",
            model="base",
            device="cuda:0",
            restarts=3,
            renewals=2,
            rss_bytes=2**30,
            running=1,
            waiting=4,
        )
    ]
    web.service.state = replace(READY, ready=False, reason="x", workers=workers)
    found = await samples(web)
    who = frozenset({("kind", "transcribe"), ("model", "base"), ("device", "cuda:0")})
    assert found["whisperd_worker_state", who | {("state", "restarting")}] == 1
    assert found["whisperd_worker_state", who | {("state", "ready")}] == 0
    assert found["whisperd_worker_restarts_total", who] == 3
    assert found["whisperd_worker_renewals_total", who] == 2
    assert found["whisperd_worker_resident_bytes", who] == 2**30
    assert found["whisperd_worker_jobs_running", who] == 1
    assert found["whisperd_worker_jobs_waiting", who] == 4
    assert found["whisperd_ready", frozenset()] == 0
    assert found["whisperd_requests_running", frozenset()] == 1
    assert found["whisperd_requests_waiting", frozenset()] == 2
    assert found["process_resident_memory_bytes", frozenset()] > 0


async def test_metrics_and_readiness_tell_what_there_is_to_do_and_how_fast_it_goes(web: Web) -> None:
    queue = QueueStatus(
        kind="transcribe", model="base", running=32, waiting=5, audio_s=900.0, speed=25.0, wait_s=36.0
    )
    web.service.state = replace(READY, queues=[queue])
    found = await samples(web)
    who = frozenset({("kind", "transcribe"), ("model", "base")})
    assert found["whisperd_queue_audio_seconds", who] == 900
    assert found["whisperd_speed_ratio", who] == 25
    assert found["whisperd_queue_seconds", who] == 36
    response = await web.client.get("/health/ready")
    assert (await response.json())["queues"] == [asdict(queue)]
    assert (await health(web))["queues"] == [asdict(queue)]


async def test_a_card_that_is_lost_is_told_of_and_the_service_is_as_well_as_the_other_one(web: Web) -> None:
    lost = WorkerStatus(
        kind="transcribe", state="restarting", model="base", device="cuda:0", device_name="One"
    )
    cards = [lost, replace(lost, state="ready", device="cuda:1", device_name="Other")]
    notice = Notice("device_lost", "the transcribe worker on cuda:0 is restarting")
    web.service.state = replace(READY, workers=cards, notes=[notice])
    body = await health(web)
    assert (body["status"], body["whisper_loaded"], body["device"]) == ("healthy", True, "cuda (Other)")
    assert [note["code"] for note in body["notes"]] == ["device_lost"]
    assert [worker["device"] for worker in body["workers"]] == ["cuda:0", "cuda:1"]


async def test_workers_of_one_kind_are_told_apart_by_their_models(web: Web) -> None:
    workers = [
        WorkerStatus(kind="transcribe", state="ready", model=model, device="cpu", running=running)
        for model, running in (("base", 1), ("small", 2))
    ]
    web.service.state = replace(READY, workers=workers)
    found = await samples(web)
    for worker in workers:
        who = frozenset({("kind", "transcribe"), ("model", worker.model or ""), ("device", "cpu")})
        assert found["whisperd_worker_jobs_running", who] == worker.running


async def test_metrics_speak_openmetrics_to_those_who_ask_for_it(web: Web) -> None:
    await web.client.post("/transcribe", data=form())
    response = await web.client.get(
        "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert response.content_type == "application/openmetrics-text"
    parse: Callable[[str], Iterable[Metric]] = openmetrics.text_string_to_metric_families
    names = {family.name for family in parse(await response.text())}
    assert {"whisperd_requests", "whisperd_build", "whisperd_worker_restarts"} <= names


@pytest.mark.parametrize("version", ["abc", "1.x", "9" * 5000, "²", "1.0.0-x", "99.0"])
@pytest.mark.parametrize("kind", ["text/plain", "application/openmetrics-text"])
async def test_metrics_are_there_for_those_who_ask_for_a_version_that_is_none(
    web: Web, kind: str, version: str
) -> None:
    response = await web.client.get("/metrics", headers={"Accept": f"{kind}; version={version}"})
    assert response.status == 200
    assert "whisperd_build" in await response.text()


# ---- documentation -------------------------------------------------------------------------------


async def test_the_page_needs_nothing_from_outside(web: Web) -> None:
    response = await web.client.get("/docs")
    assert response.content_type == "text/html"
    page = await response.text()
    parts = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(parts) >= 3
    for part in parts:
        assert part.startswith("/docs/")
        answer = await web.client.get(part)
        assert answer.status == 200
        assert answer.content_type == ("text/css" if part.endswith(".css") else "text/javascript")
        text = await answer.text()
        assert text
        if part.endswith(".css"):
            assert not re.findall(r"url\((?!\"?data:)|@import", text)
    start = await (await web.client.get("/docs/start.js")).text()
    for path in re.findall(r'url: "([^"]*)"', start):
        assert (await web.client.get(path)).status == 200
    assert "http" not in page + start


async def test_the_page_may_load_nothing_else(web: Web) -> None:
    policy = (await web.client.get("/docs")).headers["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == "'self'"
    assert rules["connect-src"] == "'self'"
    assert "http" not in policy


@pytest.mark.parametrize("path", ["/", "/redoc"])
async def test_the_front_door_leads_browsers_to_the_page(web: Web, path: str) -> None:
    headers = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    response = await web.client.get(path, headers=headers, allow_redirects=False)
    assert response.status == 302
    assert response.headers["Location"] == "/docs"


async def test_the_front_door_tells_programs_where_to_look(web: Web) -> None:
    response = await web.client.get("/", allow_redirects=False)
    assert (response.status, response.headers["Vary"]) == (200, "Accept")
    body = await response.json()
    assert list(body) == ["name", "version", "docs", "openapi"]
    for path in (body["docs"], body["openapi"]):
        assert (await web.client.get(path)).status == 200
