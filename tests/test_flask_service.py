"""The Flask transcriber's links, its health, and the GPU's memory."""

import re
from collections.abc import AsyncIterator

import pytest
from conftest import changed
from fake_nvidia import GIB, FakeNvml, device
from fake_service import READY, Web, form, serving
from msgspec.structs import replace
from yarl import URL

from whisperd.config.live import Live
from whisperd.config.units import Duration
from whisperd.cuda import nvml
from whisperd.errors import EngineError
from whisperd.status import WorkerStatus
from whisperd.transcript.model import Notice

ON_GPU = replace(
    READY,
    workers=[
        WorkerStatus(
            kind="transcribe",
            state="ready",
            model="small",
            device="cuda:0",
            device_name="NVIDIA H200",
            pid=12,
        ),
        WorkerStatus(
            kind="transcribe", state="unloaded", model="base", device="cuda:0", device_name="NVIDIA H200"
        ),
        WorkerStatus(
            kind="diarize",
            state="ready",
            model="diarization",
            device="cuda:0",
            device_name="NVIDIA H200",
            pid=13,
        ),
    ],
)


@pytest.fixture
async def web(live: Live) -> AsyncIterator[Web]:
    async with serving(live) as web:
        yield web


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """A machine with a card, on which three processes hold memory, two of them ours."""
    library = FakeNvml(
        devices=(device("NVIDIA H200", (9, 0), total=139, free=95.5),),
        held={12: 3 * GIB, 13: GIB // 2, 99: 40 * GIB},
    )
    monkeypatch.setattr(nvml, "_library", lambda: library)
    return library


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without one."""
    monkeypatch.setattr(nvml, "_library", lambda: FakeNvml(error=12))


# ---- downloads -----------------------------------------------------------------------------------


async def links(web: Web, key: str | None = None) -> dict[str, str]:
    headers = {"Authorization": key} if key else {}
    response = await web.client.post("/transcribe", data=form("audio"), headers=headers)
    assert response.status == 200
    return {name: URL(link).path for name, link in (await response.json())["downloads"].items()}


async def test_each_link_works(web: Web) -> None:
    contents = {}
    for name, link in (await links(web)).items():
        response = await web.client.get(link)
        assert response.status == 200
        assert response.headers["Content-Disposition"].startswith("attachment")
        contents[name] = await response.text()
    assert contents["text"] == "Hello world. Good-bye.\n"
    assert contents["markdown"] == "# Transcript\n\nHello world. Good-bye.\n"
    assert contents["srt"].startswith("1\n00:00:00,004 --> 00:00:02,496\nHello world.\n")


async def test_links_are_named_after_the_time_and_the_recording(web: Web) -> None:
    for suffix, link in zip((".txt", ".srt", ".md"), (await links(web)).values(), strict=True):
        assert re.fullmatch(r"/download/\d{8}-\d{6}_talk_[0-9a-f]{32}" + re.escape(suffix), link)


async def test_links_lead_to_where_the_caller_asked(web: Web) -> None:
    headers = {"Host": "sol.lan:5000"}
    response = await web.client.post("/transcribe", data=form("audio"), headers=headers)
    assert (await response.json())["downloads"]["text"].startswith("http://sol.lan:5000/download/")


@pytest.mark.parametrize("key", [None, "Bearer another"])
async def test_a_link_belongs_to_the_key_that_made_it(web: Web, key: str | None) -> None:
    link = (await links(web, "Bearer mine"))["text"]
    response = await web.client.get(link, headers={"Authorization": key} if key else {})
    assert (response.status, await response.json()) == (404, {"error": "File not found."})
    response = await web.client.get(link, headers={"Authorization": "Bearer mine"})
    assert response.status == 200


async def test_a_link_expires(web: Web) -> None:
    web.live.current = changed(web.live.current, "api", keep_downloads=Duration("0"))
    link = (await links(web))["text"]
    response = await web.client.get(link)
    assert response.status == 404


@pytest.mark.parametrize("name", ["x.txt", "..%2F..%2Fetc%2Fpasswd", "a/b/c.txt"])
async def test_what_is_not_there_is_told_as_its_clients_know_it(web: Web, name: str) -> None:
    response = await web.client.get(URL(f"/download/{name}", encoded=True))
    assert (response.status, await response.json()) == (404, {"error": "File not found."})


@pytest.mark.parametrize("path", ["/healthz", "/gpu/status", "/download/x"])
async def test_a_wrong_method_is_json(web: Web, path: str) -> None:
    response = await web.client.post(path)
    assert response.status == 405
    assert "error" in await response.json()


# ---- health --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_card")
async def test_health_has_every_key(web: Web) -> None:
    response = await web.client.get("/healthz")
    assert (response.status, await response.json()) == (
        200,
        {
            "status": "ok",
            "model": "tiny.en",
            "default_device": "cpu",
            "gpu_supported": False,
            "diagnostic_notes": [],
            "uptime_seconds": 12.346,
            "requires_auth": False,
            "backends": {"local": True, "openai": False, "assemblyai": False},
            "diarization": {"local": True, "model_loaded": True, "vram": {"available": False}},
        },
    )


@pytest.mark.usefixtures("no_card")
async def test_health_is_503_with_the_reason_until_a_job_could_run(web: Web) -> None:
    web.service.state = replace(READY, ready=False, reason="loading", notes=[Notice("cpu_only", "no GPU")])
    response = await web.client.get("/healthz")
    body = await response.json()
    assert (response.status, body["status"]) == (503, "unavailable")
    assert body["diagnostic_notes"] == ["no GPU", "loading"]


@pytest.mark.usefixtures("card")
async def test_health_tells_what_diarization_holds_on_the_gpu(web: Web) -> None:
    web.service.state = ON_GPU
    body = await (await web.client.get("/healthz")).json()
    assert (body["default_device"], body["gpu_supported"]) == ("cuda", True)
    assert body["diarization"]["vram"] == {
        "available": True,
        "device_name": "NVIDIA H200",
        "allocated_gb": 0.5,
        "reserved_gb": 0.5,
        "model_loaded": True,
    }


# ---- the GPU's memory ----------------------------------------------------------------------------


@pytest.mark.usefixtures("no_card")
async def test_a_machine_without_a_gpu_has_no_memory_to_tell_of(web: Web) -> None:
    response = await web.client.get("/gpu/status")
    assert (response.status, await response.json()) == (
        200,
        {
            "memory": {},
            "processes": [],
            "process_count": 0,
            "process_vram_mb": 0,
            "process_vram_gb": 0.0,
            "available": False,
            "whisper_models_loaded": 1,
            "diarization_loaded": True,
        },
    )


async def test_the_gpus_memory_and_our_part_of_it_are_told(web: Web, card: FakeNvml) -> None:
    web.service.state = ON_GPU
    body = await (await web.client.get("/gpu/status")).json()
    assert card.shut_down
    assert body["memory"] == {
        "gpu_name": "NVIDIA H200",
        "total_mb": 142_336,
        "total_gb": 139.0,
        "used_mb": 44_544,
        "used_gb": 43.5,
        "free_mb": 97_792,
        "free_gb": 95.5,
        "usage_percent": 31.3,
    }
    assert [set(process) for process in body["processes"]] == [
        {"pid", "name", "vram_mb", "vram_gb", "command"}
    ] * 2
    assert [(process["pid"], process["vram_mb"]) for process in body["processes"]] == [(12, 3072), (13, 512)]
    assert (body["process_count"], body["process_vram_mb"], body["process_vram_gb"]) == (2, 3584, 3.5)
    assert (body["available"], body["whisper_models_loaded"], body["diarization_loaded"]) == (True, 1, True)


async def test_a_driver_that_fails_is_no_gpu(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "_library", lambda: FakeNvml(error=9))
    body = await (await web.client.get("/gpu/status")).json()
    assert (body["available"], body["memory"]) == (False, {})


@pytest.mark.usefixtures("no_card")
async def test_whisper_models_are_unloaded(web: Web) -> None:
    response = await web.client.post("/whisper/unload")
    body = await response.json()
    assert response.status == 200
    assert set(body) == {"status", "message", "models_unloaded", "worker_pid", "gpu_status"}
    assert (body["status"], body["models_unloaded"]) == ("success", 1)
    assert "tiny.en" in body["message"]
    assert body["gpu_status"]["memory"] == {}
    assert web.service.unloaded == ["transcribe"]


@pytest.mark.usefixtures("no_card")
async def test_diarization_is_unloaded(web: Web) -> None:
    response = await web.client.post("/diarization/unload")
    body = await response.json()
    assert response.status == 200
    assert set(body) == {"status", "message", "vram"}
    assert (body["status"], body["vram"]) == ("success", {"available": False})
    assert web.service.unloaded == ["diarize"]


@pytest.mark.usefixtures("no_card")
async def test_nothing_to_unload_is_said(web: Web) -> None:
    web.service.state = replace(READY, workers=[])
    body = await (await web.client.post("/whisper/unload")).json()
    assert (body["models_unloaded"], body["message"].split(":")[0]) == (0, "Nothing was unloaded")


@pytest.mark.parametrize("path", ["/whisper/unload", "/diarization/unload"])
async def test_an_unloading_that_fails_is_json(web: Web, path: str) -> None:
    web.service.error = EngineError("it hangs")
    response = await web.client.post(path)
    assert response.status == 500
    assert set(await response.json()) == {"error"}
