"""The doctor on models."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import changed
from fake_machine import NOBODY, machine, states
from fake_nvidia import FakeRoot

from whisperd.config.schema import Config
from whisperd.doctor.finding import Finding
from whisperd.doctor.models import check_models
from whisperd.models import catalogue
from whisperd.models.sources import File, HubSource, SourceUnavailable
from whisperd.models.store import MANIFEST, Manifest

GATED = "pyannote/speaker-diarization-community-1"


@pytest.fixture(autouse=True)
def hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks the hub unless it says what the hub would answer."""

    def fetch(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("whisperd.models.hub.fetch", fetch)


def install(config: Config, name: str, content: bytes = b"weights") -> Path:
    """A model of one file, with its manifest."""
    directory = config.paths.state / "models" / name
    directory.mkdir(parents=True)
    (directory / "model.bin").write_bytes(content)
    digest = "6dd5302e8a3c22c6d29ec13bd6b2d0a07c9bdfb4ee3a8f4bb9e8cb1e8e1ab46f"
    manifest = Manifest(
        name=name,
        kind="whisper",
        source="a test",
        licence="MIT",
        pulled_at=datetime.now(UTC),
        files=(File("model.bin", len(content), digest),),
    )
    (directory / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return directory


def by_hand(tmp_path: Path, name: str) -> str:
    directory = tmp_path / name
    directory.mkdir()
    (directory / "model.bin").write_bytes(b"weights")
    return str(directory)


def model_findings(config: Config, **changes: Any) -> list[Finding]:
    return list(check_models(machine(config, **changes)))


def test_models_that_are_not_installed_are_told_with_the_command_for_each(config: Config) -> None:
    whisper, diarization = model_findings(config)
    assert (whisper.name, whisper.state, whisper.detail) == ("model base", "failure", "not installed")
    assert (whisper.remedy or "").endswith("whisperd models pull base")
    assert (diarization.remedy or "").endswith("whisperd models pull diarization")


def test_the_model_that_auto_means_is_the_one_for_the_device(config: Config, tmp_path: Path) -> None:
    root = FakeRoot(tmp_path / "root")
    root.add_pci_device()
    assert model_findings(config, root=root)[0].name == "model large-v3-turbo"
    broken = changed(config, "transcribe", device="cuda")
    assert model_findings(broken)[0].name == "model large-v3-turbo"


def test_diarization_that_is_off_needs_no_model(config: Config) -> None:
    assert len(model_findings(changed(config, "diarize", enabled=False))) == 1


def test_directories_of_the_users_own_are_fine(config: Config, tmp_path: Path) -> None:
    config = changed(config, "transcribe", model=by_hand(tmp_path, "whisper"))
    config = changed(config, "diarize", model=by_hand(tmp_path, "pipeline"))
    assert states(model_findings(config)) == ["ok", "ok"]


def test_a_damaged_model_is_told_with_its_damage(config: Config) -> None:
    install(config, "base", b"wrong bytes")
    finding = model_findings(config)[0]
    assert finding.state == "failure"
    assert finding.detail == "damaged: model.bin has the wrong SHA-256"
    assert "whisperd models pull base" in (finding.remedy or "")


def test_a_model_that_the_service_may_not_read_is_told(config: Config, tmp_path: Path) -> None:
    directory = by_hand(tmp_path, "whisper")
    weights = Path(directory) / "model.bin"
    weights.chmod(0o600)
    config = changed(config, "transcribe", model=directory)
    finding = model_findings(config, user=NOBODY)[0]
    assert (finding.state, finding.detail) == ("failure", f"whisperd may not read {weights}")


def test_a_model_that_nobody_knows_is_told(config: Config) -> None:
    finding = model_findings(changed(config, "transcribe", model="huge"))[0]
    assert (finding.state, finding.detail) == ("failure", "no such model")


def test_a_gated_pipeline_is_told_with_the_hubs_reason(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[File] = []

    def fetch(source: HubSource, files: list[File], *_: Any) -> None:
        assert source.gated
        asked.extend(files)
        raise SourceUnavailable("accept the conditions first")

    monkeypatch.setattr("whisperd.models.hub.fetch", fetch)
    finding = model_findings(changed(config, "diarize", model=GATED))[1]
    assert finding.state == "failure"
    assert "the hub does not give it: accept the conditions first" in finding.detail
    smallest = min(catalogue.get(GATED).sources[0].files, key=lambda file: file.size)
    assert asked == [smallest], "a try costs next to nothing"


def test_a_gated_pipeline_that_the_hub_gives_is_merely_not_installed(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whisperd.models.hub.fetch", lambda *_: None)
    finding = model_findings(changed(config, "diarize", model=GATED))[1]
    assert (finding.state, finding.detail) == ("failure", "not installed")


def test_models_that_only_some_requests_need_are_checked_too(config: Config, tmp_path: Path) -> None:
    mine = by_hand(tmp_path, "mine")
    config = changed(config, "transcribe", model=mine, models=("small", mine), translate_model="medium")
    found = model_findings(config)
    assert {finding.name: finding.state for finding in found if finding.name != "model diarization"} == {
        f"model {mine}": "ok",
        "model small": "failure",
        "model medium": "failure",
    }
