"""`whisperd doctor` as it is typed."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fake_machine import machine

from whisperd.cli import doctor
from whisperd.config.schema import Config
from whisperd.doctor.checks import CHECKS, diagnose
from whisperd.doctor.finding import Finding
from whisperd.doctor.machine import Machine

GOOD = Finding("card", "ok", "the card has its driver")
WARNING = Finding("disk", "warning", "little [room]", "Make room")
BAD = Finding("model base", "failure", "not installed", "Run whisperd models pull base")


def run(*arguments: str, config: Path | None = None) -> int:
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["doctor", *arguments])
    parsed.config = config
    status: int = parsed.func(parsed)
    return status


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the checks will say."""
    said: list[Finding] = []

    def made(_: Machine) -> Iterable[Finding]:
        return iter(said)

    monkeypatch.setattr(doctor, "diagnose", made)
    return said


def test_the_exit_status_is_0_when_a_job_would_run(
    findings: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    findings += [GOOD, WARNING]
    assert run() == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok       card: the card has its driver",
        "warning  disk: little [room]",
        "         Make room",
        "A job would run: 0 failures, 1 warnings",
    ]


def test_the_exit_status_is_1_when_no_job_would_run(
    findings: list[Finding], capsys: pytest.CaptureFixture[str]
) -> None:
    findings += [GOOD, BAD]
    assert run() == 1
    assert "No job would run: 1 failures, 0 warnings" in capsys.readouterr().out


def test_a_terminal_gets_signs(
    findings: list[Finding], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    findings += [GOOD, WARNING, BAD]
    assert run() == 1
    out = capsys.readouterr().out
    assert [sign for sign in "✓!✗→" if sign in out] == list("✓!✗→")
    assert "little [room]" in out, "what is in brackets is no markup"


def test_json_tells_the_same(findings: list[Finding], capsys: pytest.CaptureFixture[str]) -> None:
    findings += [GOOD, BAD]
    assert run("--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert [finding["state"] for finding in report["findings"]] == ["ok", "failure"]
    assert report["findings"][1]["remedy"] == "Run whisperd models pull base"


def test_every_mistake_in_the_configuration_is_told_and_the_rest_is_still_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "whisperd.toml"
    path.write_text('[transcribe]\ndevice = "gpu"\n[server]\nlisten = "8000"\n')
    asked: list[Machine] = []

    def diagnosed(machine: Machine) -> Iterator[Finding]:
        asked.append(machine)
        return iter(())

    monkeypatch.setattr(doctor, "diagnose", diagnosed)
    run(config=path)
    made = machine(Config(), mistakes=asked[0].mistakes)
    found = list(diagnose(made))
    mistakes = [finding for finding in found if finding.name == "configuration"]
    assert ["transcribe.device" in mistakes[0].detail, "server.listen" in mistakes[1].detail] == [True, True]
    assert {finding.state for finding in mistakes} == {"failure"}
    states = {finding.name: finding.state for finding in found}
    assert [states[name] for name in ("device", "disk", "models", "address")] == ["skipped"] * 4
    assert states["CTranslate2"] == "ok"


def test_checks_come_in_the_order_in_which_to_mend(config: Config) -> None:
    order = [check.name for check in CHECKS]
    assert order == [
        "configuration", "card", "device nodes", "driver", "library", "engines", "device", "disk", "models",
        "secrets", "address", "certificate", "going out",
    ]  # fmt: skip
    assert next(iter(diagnose(machine(config)))).name == "configuration"


@pytest.mark.engine
def test_this_very_machine_can_be_diagnosed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["whisperd"])
    model = tmp_path / "model"
    model.mkdir()
    path = tmp_path / "whisperd.toml"
    path.write_text(
        f'[paths]\nstate = "{tmp_path}/state"\nspool = "{tmp_path}/spool"\nrun = "{tmp_path}/run"\n'
        f'[server]\nlisten = ["127.0.0.1:0"]\n[transcribe]\nmodel = "{model}"\n[diarize]\nmodel = "{model}"\n'
    )
    assert run("--json", config=path) == 0, capsys.readouterr().out
    found = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert found["CTranslate2"]["state"] == found["torch"]["state"] == "ok"
    assert found["CTranslate2"]["detail"].endswith("built for CUDA 12")
