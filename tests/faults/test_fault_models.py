"""A model whose files go or change while the daemon runs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from recordings import conversation
from running import STATE, eventually, models_installed

from faults.victim import Victim, answered, ask, code, until_ready, until_unready

pytestmark = pytest.mark.engine


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Models of the test's own."""
    models_installed("tiny.en", "base")
    models = tmp_path / "own" / "models"
    models.mkdir(parents=True)
    for name in ("tiny.en", "base"):
        shutil.copytree(STATE / "models" / name, models / name)
    return models


@pytest.fixture
def daemon(tmp_path: Path, models: Path) -> Iterator[Victim]:
    with Victim(tmp_path, {"WHISPERD_PATHS__STATE": str(models.parent)}) as daemon:
        yield daemon


@pytest.mark.parametrize("fault", ["gone", "damaged"])
def test_what_is_loaded_works_on_and_what_must_load_waits_for_the_file(
    daemon: Victim, models: Path, fault: str
) -> None:
    weights = models / "tiny.en" / "model.bin"
    whole = weights.rename(models.parent / "whole")
    if fault == "damaged":
        weights.write_bytes(whole.read_bytes()[:1000])
    assert answered(ask(daemon))
    daemon.worker("transcribe").kill()
    until_unready(daemon, "could not load")
    refused = ask(daemon)
    assert (refused.status_code, code(refused)) == (503, "not_ready")
    assert str(models) not in refused.text + httpx.get(f"{daemon.url}/health").text
    assert "the transcribe worker could not load: RuntimeError: " in daemon.log()
    whole.replace(weights)
    until_ready(daemon)
    assert answered(ask(daemon))


def test_a_model_on_demand_that_is_gone_fails_its_own_requests_alone(daemon: Victim, models: Path) -> None:
    weights = models / "base" / "model.bin"
    whole = weights.rename(models.parent / "whole")
    refused = daemon.transcribe(conversation(), model="base")
    assert (refused.status_code, code(refused)) == (500, "cannot_start")
    told = "the model base is damaged (model.bin is missing); run: whisperd models pull base"
    assert refused.json()["error"]["message"] == told
    assert told in daemon.log()
    assert answered(ask(daemon))
    whole.replace(weights)
    for _ in eventually(60):
        if answered(daemon.transcribe(conversation(), model="base")):
            break
