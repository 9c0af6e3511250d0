"""`whisperd check-config` and `whisperd config`."""

from pathlib import Path

import pytest

from whisperd.__main__ import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A configuration file with one option."""
    path = tmp_path / "whisperd.toml"
    path.write_text("[limits]\nwaiting = 5\n", encoding="utf-8")
    return path


def test_a_configuration_without_mistakes_passes(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(path), "check-config"]) == 0
    assert capsys.readouterr().out == "no mistakes; 1 option is set (see `whisperd config show`)\n"


def test_every_mistake_is_a_line_and_the_status_is_78(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("[limits]\nwaiting = 0\nupload = 5\n", encoding="utf-8")
    assert main(["--config", str(path), "check-config"]) == 78
    printed, complaints = capsys.readouterr()
    assert printed == ""
    first, second = complaints.splitlines()
    assert first.startswith(f"whisperd: {path}: limits.waiting: 0 is too small")
    assert second.startswith(f'whisperd: {path}: limits.upload: "5" has a number without a unit')


def test_the_environment_is_checked_too(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WHISPER_COMPUTE_TYPE", "int7")
    assert main(["--config", str(path), "check-config"]) == 78
    assert "whisperd: WHISPER_COMPUTE_TYPE: transcribe.compute_type: expected" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.toml"
    assert main(["--config", str(missing), "check-config"]) == 78
    assert capsys.readouterr().err == f"whisperd: {missing}: No such file or directory\n"


def test_show_tells_values_and_origins(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(path), "config", "show"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["waiting", "=", "5", "#", str(path)] in lines
    assert ["upload", "=", '"2GiB"', "#", "default"] in lines


@pytest.mark.parametrize(
    ("key", "value", "verb"), [("limits.upload", "1GiB", "reload"), ("diarize.enabled", "no", "restart")]
)
def test_set_tells_how_the_option_takes_effect(
    path: Path, key: str, value: str, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(path), "config", "set", key, value]) == 0
    file = f"{path}.d/50-set.toml"
    assert capsys.readouterr() == (
        f"{key} is set in {file}; it takes effect with: systemctl {verb} whisperd\n",
        "",
    )


def test_set_warns_of_a_drop_in_that_wins(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = path.with_name("whisperd.toml.d") / "90-local.toml"
    later.parent.mkdir()
    later.write_text("[log]\nlevel = 'error'\n", encoding="utf-8")
    assert main(["--config", str(path), "config", "set", "log.level", "debug"]) == 0
    assert capsys.readouterr().err == f"whisperd: {later} sets log.level too, and wins\n"


def test_set_refuses_a_mistake(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(path), "config", "set", "limits.wating", "1"]) == 78
    assert capsys.readouterr().err == (
        "whisperd: limits.wating: no such option; did you mean limits.waiting?\n"
    )


def test_set_tells_when_it_can_not_write(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = path.with_name("whisperd.toml.d")
    directory.symlink_to(path.with_name("nowhere") / "deep")
    assert main(["--config", str(path), "config", "set", "log.level", "debug"]) == 1
    assert capsys.readouterr().err.startswith(f"whisperd: could not write {directory}")
