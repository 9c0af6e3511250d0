"""A model whose files go or change while the service runs."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from boxes.box import Box
from running import STATE, eventually, models_installed

from faults.victim import Victim, answered, ask, refused, unharmed, until_ready, until_unready

MODELS = "/var/lib/whisperd/models"


@pytest.fixture(scope="module", autouse=True)
def _another_model(box: Box) -> None:
    models_installed("base")
    shutil.copytree(STATE / "models" / "base", box.root / MODELS.strip("/") / "base")


@pytest.fixture
def weights(victim: Victim) -> Path:
    """Of the model that is loaded."""
    return victim.state / "models" / "tiny.en" / "model.bin"


@contextlib.contextmanager
def broken(weights: Path, fault: str) -> Iterator[None]:
    """Without a file, or with another in its place, for a while."""
    whole = weights.rename(weights.with_name("whole"))
    if fault == "damaged":
        weights.write_bytes(whole.read_bytes()[:1000])
    try:
        yield
    finally:
        whole.replace(weights)


@pytest.mark.parametrize("fault", ["gone", "damaged"])
def test_what_is_loaded_works_on_and_what_must_load_waits_for_the_file(
    victim: Victim, weights: Path, fault: str
) -> None:
    with broken(weights, fault):
        assert answered(ask(victim))
        victim.worker().kill()
        until_unready(victim, "could not load")
        reply = ask(victim)
        assert refused(reply) == (503, "not_ready")
        assert MODELS not in reply.text + victim.get("/health").text
        assert "the transcribe worker could not load: RuntimeError: " in victim.log()
    until_ready(victim)
    assert answered(ask(victim))
    assert victim.restarts() == 0


@pytest.mark.parametrize(
    ("fault", "told"), [("gone", "model.bin is missing"), ("damaged", "model.bin has 1000 bytes")]
)
def test_what_a_start_lacks_is_told_and_the_start_is_not_repeated(
    victim: Victim, weights: Path, fault: str, told: str
) -> None:
    with broken(weights, fault):
        assert victim.box.systemctl("restart", "whisperd.service", check=False).returncode != 0
        assert victim.box.show("ExecMainStatus") == "78"
        assert victim.restarts() == 0
        for words in (told, "run: sudo whisperd models pull tiny.en"):
            assert words in victim.log()
            assert words in victim.box.show("StatusText")
    victim.box.systemctl("start", "whisperd.service")
    assert answered(ask(victim))


def test_a_model_on_demand_that_is_gone_fails_its_own_requests_alone(victim: Victim) -> None:
    with broken(victim.state / "models" / "base" / "model.bin", "gone"):
        reply = ask(victim, model="base")
        assert refused(reply) == (500, "cannot_start")
        told = "the model base is damaged (model.bin is missing); run: sudo whisperd models pull base"
        assert reply.json()["error"]["message"] == told
        assert told in victim.log()
        assert victim.errors() == ["cannot_start"]
        assert answered(ask(victim))
    for _ in eventually(60):
        if answered(ask(victim, model="base")):
            break
    assert unharmed(victim)
