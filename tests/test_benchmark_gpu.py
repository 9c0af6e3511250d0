"""The benchmark for cards works where there is none, as far as it can."""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks import cublas, gpu
from benchmarks.card import Card
from benchmarks.gpu_engines import Outcome
from recordings import REPOSITORY
from running import eventually

FIGURES = [
    *(f"batches of {size}" for size in (1, 2, 4, 8, 16, 32, 64)),
    "tokens of each window",
    # whisperd's engine
    "one recording",
    "32 at once",
    # faster-whisper
    "one recording",
    "32, one by one",
    "one recording, in batches of 16",
    "32, one by one, in batches of 16",
]


@pytest.mark.engine
@pytest.mark.timeout(600)
def test_all_engines_are_measured_on_a_small_model_that_recites() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--small"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY / "tests"), "COLUMNS": "140"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.findall(r"^ (\S.*?) {2,}([0-9.e+]+)(?: x real time|  )", printed, re.MULTILINE)
    assert [what for what, _ in found] == FIGURES, printed
    values = dict(found)
    assert all(float(value) > 0 for value in values.values())
    assert values["tokens of each window"] == "12"


def test_without_cuda_12_a_link_leads_to_the_cublas_of_cuda_13(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = _library(tmp_path / "site", "cu13", "libcublas.so.13")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])

    found = cublas.find(tmp_path)

    assert found
    assert (tmp_path / "libcublas.so.12").resolve() == library
    assert found.directories == (tmp_path, library.parent)
    assert "CUDA 13's" in found.told


def test_the_cublas_of_cuda_12_is_taken_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _library(tmp_path / "site", "cu13", "libcublas.so.13")
    library = _library(tmp_path / "site", "cublas", "libcublas.so.12")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])

    assert cublas.find(tmp_path) == cublas.Cublas(library, (library.parent,))
    assert not (tmp_path / "libcublas.so.12").exists()


def test_a_card_is_looked_at_until_it_is_left() -> None:
    nvml = FakeNvml()
    with Card(nvml) as card:
        start = card.look().at
        for _ in eventually():
            seen = card.between(start, card.look().at)
            if len(seen) >= 3:
                break
    assert {(sample.busy, sample.used_bytes) for sample in seen} == {(97, 5_000_000)}
    assert nvml.calls == ["nvmlInit", "nvmlShutdown"]


def test_what_a_process_leaves_on_the_card_and_how_busy_that_was_are_told() -> None:
    with Card(FakeNvml()) as card:
        figures = {figure.what: figure.value for figure in gpu._measured(card, _work)}
    assert figures == {
        "work": 2.0,
        "the card's utilisation with 32 at once": 97,
        "memory at the most, more than before": 0,
        "memory after the process has ended, more than before": 0,
    }


def _work() -> Outcome:
    """As long as the card is looked at a few times."""
    started = time.monotonic()
    time.sleep(0.3)
    return Outcome({"work": [2.0]}, [(started, time.monotonic())], libraries=["/lib/libcublas.so.12"])


@dataclass
class FakeNvml:
    """A card that always does the same."""

    calls: list[str] = field(default_factory=list)

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's names
        self.calls.append("nvmlInit")

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.calls.append("nvmlShutdown")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUtilizationRates(self, _: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(gpu=97)

    def nvmlDeviceGetMemoryInfo(self, _: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(used=5_000_000)


def _library(site: Path, wheel: str, name: str) -> Path:
    library = site / "nvidia" / wheel / "lib" / name
    library.parent.mkdir(parents=True)
    library.touch()
    return library
