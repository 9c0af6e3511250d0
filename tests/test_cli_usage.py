"""`whisperd usage` as it is typed."""

import csv
import datetime
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keychain import NOW

from whisperd.__main__ import main
from whisperd.access.gate import Gate
from whisperd.access.ring import Ring
from whisperd.access.usage import Use
from whisperd.config.live import Live
from whisperd.config.schema import Config, Paths

Type = Callable[..., int]
TODAY = datetime.datetime.now(datetime.UTC)


@pytest.fixture
async def usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Three requests and a job: two days, two owners, one of them with a key."""
    state = tmp_path / "state"
    monkeypatch.setenv("WHISPERD_PATHS__STATE", str(state))
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "whisperd.toml").touch()
    ring = Ring.open(state)
    key, _ = ring.create(name="notes [b]", owner="ann", permissions=("stt",), rate_limit=60, at=NOW)
    ring.close()
    async with (gate := Gate(Live(Config(paths=Paths(state=state))))).tended():

        def record(at: datetime.datetime, **options: Any) -> None:
            defaults: dict[str, Any] = {"owner": "ann", "key_id": key.id, "method": "POST", "status": 200}
            gate.usage.record(Use(at=at, endpoint="/x", **(defaults | options)))

        record(TODAY, latency_s=1.0, audio_s=3601.0, device_s=61.5)
        record(TODAY, latency_s=2.0, status=429)
        record(TODAY, latency_s=60.0, method="JOB", audio_s=30.0)
        record(TODAY - datetime.timedelta(days=3), latency_s=0.5, owner="anybody", key_id=None)

    def typed(*words: str) -> int:
        return main(["--config", str(tmp_path / "whisperd.toml"), "usage", *words])

    return typed


def test_keys_and_days_are_told_by_default(usage: Type, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage() == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "DAY", "KEY", "OWNER", "REQUESTS", "JOBS", "FAILED", "AUDIO", "DEVICE", "LATENCY",
    ]  # fmt: skip
    three_days_ago = TODAY - datetime.timedelta(days=3)
    assert first.split() == [
        f"{three_days_ago:%Y-%m-%d}", "-", "anybody", "1", "0", "0", "0:00:00", "0:00:00", "0.50", "s",
    ]  # fmt: skip
    assert second.split() == [
        f"{TODAY:%Y-%m-%d}", "notes", "[b]", "ann", "2", "1", "1", "1:00:31", "0:01:02", "1.50", "s",
    ]  # fmt: skip


def test_tokens_are_told_where_there_are_any(usage: Type, capsys: pytest.CaptureFixture[str]) -> None:
    usage("--by", "owner")
    assert "TOKENS" not in capsys.readouterr().out


def test_csv_has_everything(usage: Type, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage("--by", "key", "--format", "csv") == 0
    ann, anybody = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(ann) == [
        "key", "name", "owner", "requests", "jobs", "failed", "audio_s", "wall_s", "device_s", "tokens_in",
        "tokens_out", "latency_s",
    ]  # fmt: skip
    assert (ann["name"], ann["requests"], ann["jobs"], ann["audio_s"], ann["latency_s"]) == (
        "notes [b]", "2", "1", "3631.0", "1.5",
    )  # fmt: skip
    assert (anybody["key"], anybody["name"], anybody["owner"]) == ("", "", "anybody")


def test_json_has_the_same(usage: Type, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage("--by", "day", "--format", "json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["day"] < second["day"]
    assert (second["requests"], second["jobs"], second["failed"], second["device_s"]) == (2, 1, 1, 61.5)
    assert "key" not in second


@pytest.mark.parametrize(
    ("words", "owners"),
    [
        (["--since", "1d"], ["ann"]),
        (["--since", "4d"], ["ann", "anybody"]),
        (["--until", "1d"], ["anybody"]),
        (["--since", f"{TODAY:%Y-%m-%d}"], ["ann"]),
        (["--since", "3d", "--until", f"{TODAY:%Y-%m-%d}"], ["ann", "anybody"]),
        (["--since", "2999-01-01"], []),
    ],
)
def test_days_can_be_chosen(
    usage: Type, capsys: pytest.CaptureFixture[str], words: list[str], owners: list[str]
) -> None:
    assert usage("--by", "owner", "--format", "json", *words) == 0
    assert [row["owner"] for row in json.loads(capsys.readouterr().out)] == owners


def test_a_day_that_is_none(usage: Type, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        usage("--since", "yesterday")
    assert raised.value.code == 2
    assert "neither a length of time" in capsys.readouterr().err
