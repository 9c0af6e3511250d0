"""The daemon and systemd: start, readiness, watchdog, reload, drain, and every reason not to start."""

import concurrent.futures
import json
import signal
import socket
import time
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest
from recordings import conversation, tone
from running import Daemon, eventually, freeze, models_installed

pytestmark = pytest.mark.engine

SMALL = {"WHISPERD_DIARIZE__ENABLED": "false"}
"""Without the pipeline, whose start takes seconds and says nothing here."""


@pytest.fixture(autouse=True)
def _models() -> None:
    models_installed("tiny.en")


def test_readiness_is_told_when_a_job_could_run_and_not_before(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, SMALL)
    daemon.start()
    try:
        early = []
        for _ in eventually():
            try:
                early.append(httpx.get(f"{daemon.url}/health/ready"))
                break
            except httpx.TransportError:
                continue
        daemon.wait_ready()
        assert early[0].status_code == 503
        assert "worker is starting" in early[0].json()["reason"]
        assert httpx.get(f"{daemon.url}/health/ready").status_code == 200
        assert daemon.transcribe(conversation()).status_code == 200
        said = daemon.notifications
        assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in said[: said.index("READY=1")])
        assert any(line.startswith("STATUS=Loading: ") for line in said[: said.index("READY=1")])
        daemon.wait_for_notification("STATUS=Serving tiny.en (int8 on cpu)")
    finally:
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(30) == 0


def test_the_watchdog_is_fed_only_while_every_worker_answers(tmp_path: Path) -> None:
    settings = SMALL | {
        "WATCHDOG_USEC": "1000000",
        "WHISPERD_WORKERS__PING_INTERVAL": "200ms",
        "WHISPERD_WORKERS__PING_TIMEOUT": "60s",
    }
    with Daemon(tmp_path, settings) as daemon:
        daemon.wait_for_notification("WATCHDOG=1")
        worker = daemon.worker("decode")
        freeze(worker)
        for _ in eventually():
            before = len(daemon.notifications)
            time.sleep(2)
            if "WATCHDOG=1" not in daemon.notifications[before:]:
                break
        assert daemon.health()["ready"], "the loop turns and says nothing false"
        worker.send_signal(signal.SIGCONT)
        daemon.wait_for_notification("WATCHDOG=1", after=len(daemon.notifications))


def test_a_stop_lets_running_requests_end_and_leaves_no_child(tmp_path: Path) -> None:
    with Daemon(tmp_path, SMALL) as daemon, concurrent.futures.ThreadPoolExecutor(1) as pool:
        children = daemon.children()
        assert len(children) == 2
        reply = pool.submit(daemon.transcribe, conversation())
        for _ in eventually():
            if daemon.health()["running"]:
                break
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for_notification("STOPPING=1")
        assert reply.result().status_code == 200
        assert daemon.process.wait(30) == 0
        with pytest.raises(httpx.ConnectError):
            daemon.transcribe(conversation())
        assert psutil.wait_procs(children, timeout=5)[1] == []
        assert daemon.spooled() == []


def test_a_request_that_outlasts_the_drain_is_told_so(tmp_path: Path) -> None:
    settings = SMALL | {"WHISPERD_SERVER__DRAIN_TIMEOUT": "200ms", "WHISPERD_TRANSCRIBE__VAD": "false"}
    with Daemon(tmp_path, settings) as daemon, concurrent.futures.ThreadPoolExecutor(1) as pool:
        recording = tone(tmp_path / "long.wav", seconds=600)
        reply = pool.submit(daemon.transcribe, recording)
        for _ in eventually():
            if daemon.health()["workers"][1]["running"]:
                break
        daemon.process.send_signal(signal.SIGTERM)
        assert reply.result().status_code == 503
        assert reply.result().json()["error"]["code"] == "shutting_down"
        assert int(reply.result().headers["Retry-After"]) >= 1
        assert daemon.process.wait(30) == 0


def test_an_interrupt_stops_it_too(tmp_path: Path) -> None:
    with Daemon(tmp_path, SMALL) as daemon:
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.process.wait(30) == 0


def test_a_stop_while_loading_is_a_stop(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, SMALL)
    daemon.start()
    daemon.wait_for_notification("STATUS=Loading")
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(30) == 0


def test_children_do_not_outlive_a_daemon_that_was_killed(tmp_path: Path) -> None:
    with Daemon(tmp_path, SMALL) as daemon:
        children = daemon.children()
        daemon.kill()
        assert psutil.wait_procs(children, timeout=5)[1] == []


def test_what_a_crash_left_in_the_spool_is_removed_at_the_next_start(tmp_path: Path) -> None:
    orphan = tmp_path / "spool" / "orphan"
    orphan.mkdir(parents=True)
    (orphan / "upload").write_bytes(b"x")
    with Daemon(tmp_path, SMALL) as daemon:
        assert daemon.spooled() == []


# ---- reload --------------------------------------------------------------------------------------


def test_a_reload_applies_what_can_change_and_names_what_cannot(tmp_path: Path) -> None:
    with Daemon(tmp_path, SMALL, config="[limits]\nupload = '1GiB'\n") as daemon:
        daemon.config.write_text("[limits]\nupload = '1kB'\n[transcribe]\nbeam_size = 1\n")
        before = len(daemon.notifications)
        done = daemon.command("reload")
        assert done.returncode == 0, done.stderr
        assert "limits.upload" in done.stdout
        assert "transcribe.beam_size" in done.stdout + done.stderr
        daemon.wait_for_notification("RELOADING=1", after=before)
        daemon.wait_for_notification("READY=1", after=before)
        assert daemon.transcribe(conversation()).json()["error"]["code"] == "file_too_large"


def test_a_refused_reload_fails_with_the_reason_and_changes_nothing(tmp_path: Path) -> None:
    with Daemon(tmp_path, SMALL, config="[limits]\nupload = '1GiB'\n") as daemon:
        daemon.config.write_text("[limits]\nupload = 'much'\nwaitng = 3\n")
        done = daemon.command("reload")
        assert done.returncode != 0
        assert "limits.upload" in done.stderr
        assert "did you mean limits.waiting" in done.stderr
        before = len(daemon.notifications)
        daemon.process.send_signal(signal.SIGHUP)
        assert "limits.upload" in daemon.wait_for_notification("STATUS=Reload refused", after=before)
        assert daemon.transcribe(conversation()).status_code == 200


def test_a_hangup_reloads(tmp_path: Path) -> None:
    with Daemon(tmp_path, SMALL, config="") as daemon:
        daemon.config.write_text("[limits]\nupload = '1kB'\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_notification("STATUS=Reloaded")
        assert daemon.transcribe(conversation()).status_code == 413


# ---- reasons not to start ------------------------------------------------------------------------


def test_every_mistake_in_the_configuration_is_told_at_once(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, config="[transcribe]\nbeam_size = 'five'\ncompute = 'int8'\n[logs]\n")
    assert daemon.run_to_the_end() == 78
    log = daemon.log()
    for part in ("transcribe.beam_size", "transcribe.compute", "logs", str(daemon.config)):
        assert part in log
    assert any("transcribe.beam_size" in line for line in daemon.notifications if line.startswith("STATUS="))
    check = daemon.command("check-config")
    assert check.returncode == 78
    assert "transcribe.beam_size" in check.stderr


def test_a_missing_model_ends_the_start_with_the_command_to_run(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, {"WHISPERD_TRANSCRIBE__MODEL": "small"})
    assert daemon.run_to_the_end() == 78
    assert "whisperd models pull small" in daemon.log()
    assert any("whisperd models pull small" in line for line in daemon.notifications)


def test_a_gpu_that_is_asked_for_and_missing_ends_the_start(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, SMALL | {"WHISPERD_TRANSCRIBE__DEVICE": "cuda"})
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has a GPU")
    assert daemon.run_to_the_end() == 78
    assert 'transcribe.device is "cuda"' in daemon.log()


def test_a_taken_port_ends_the_start_with_its_name(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, SMALL)
    with socket.create_server(("127.0.0.1", daemon.port)):
        assert daemon.run_to_the_end() == 78
    assert f"cannot listen on 127.0.0.1:{daemon.port}" in daemon.log()


def test_a_damaged_model_ends_the_start_with_the_file_named(tmp_path: Path) -> None:
    state = tmp_path / "state"
    model = state / "models" / "tiny.en"
    model.mkdir(parents=True)
    source = Path(Daemon(tmp_path).environment["WHISPERD_PATHS__STATE"]) / "models" / "tiny.en"
    for file in source.iterdir():
        (model / file.name).write_bytes(
            file.read_bytes()[:1000] if file.name == "model.bin" else file.read_bytes()
        )
    daemon = Daemon(tmp_path, SMALL | {"WHISPERD_PATHS__STATE": str(state)})
    assert daemon.run_to_the_end() == 78
    assert "model.bin has 1000 bytes" in daemon.log()


def test_the_doctor_agrees_with_a_daemon_that_can_start(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, SMALL)
    done = daemon.command("doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)
