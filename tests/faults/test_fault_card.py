"""A card that fails: its worker is started again, and nothing is done elsewhere in silence.

The card is the CPU here, and CUDA's words are put into its mouth.
"""

import concurrent.futures
from pathlib import Path

import httpx2 as httpx
import pytest
from running import models_installed

from faults.victim import Victim, answered, ask, code, readiness, until_ready, until_unready

pytestmark = pytest.mark.engine

NO_CARD = "could not load: RuntimeError: CUDA failed with error no CUDA-capable device is detected"


@pytest.fixture(autouse=True)
def _models() -> None:
    models_installed("tiny.en")


def test_after_an_error_of_cuda_a_new_process_takes_the_card_and_answers(tmp_path: Path) -> None:
    with Victim(tmp_path) as daemon:
        daemon.order("lose-card once")
        before = daemon.worker("transcribe").pid
        assert answered(ask(daemon))
        assert daemon.worker("transcribe").pid != before
        assert "lost its device: CUDA failed with error unspecified launch failure; starting" in daemon.log()


def test_a_recording_at_which_the_card_fails_twice_is_refused_for_now(tmp_path: Path) -> None:
    with Victim(tmp_path) as daemon:
        daemon.order("lose-card")
        reply = ask(daemon)
        assert (reply.status_code, code(reply)) == (503, "device_lost")
        assert int(reply.headers["Retry-After"]) >= 1
        daemon.lift()
        until_ready(daemon)
        assert answered(ask(daemon))


def test_while_the_card_is_away_nothing_is_ready_and_when_it_is_back_all_goes_on(tmp_path: Path) -> None:
    with Victim(tmp_path) as daemon, concurrent.futures.ThreadPoolExecutor(1) as thread:
        daemon.order("no-card", at="load")
        daemon.order("lose-card once")
        caught = thread.submit(ask, daemon)
        until_unready(daemon, NO_CARD)
        refused = ask(daemon)
        assert (refused.status_code, code(refused)) == (503, "not_ready")
        assert int(refused.headers["Retry-After"]) >= 1
        health = httpx.get(f"{daemon.url}/health").json()
        assert health["status"] == "degraded"
        assert NO_CARD in health["reason"]
        daemon.wait_for_notification("STATUS=Not ready")
        daemon.lift(at="load")
        until_ready(daemon)
        assert answered(caught.result())
        assert readiness(daemon) == (200, None)
        assert NO_CARD in daemon.log()
