"""Options set by variables of the environment."""

from pathlib import Path

import pytest

from whisperd.config.load import load, read
from whisperd.config.schema import OPTIONS, Config
from whisperd.config.sources import OLDER_VARIABLES, variable
from whisperd.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what this machine has in /etc out of it."""
    monkeypatch.setattr("whisperd.config.load.DEFAULT_PATH", tmp_path / "whisperd.toml")


def refusal(environ: dict[str, str]) -> list[str]:
    """The mistakes in an environment."""
    with pytest.raises(ConfigError) as caught:
        load(None, environ)
    return caught.value.message.splitlines()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("WHISPERD_LIMITS__WAITING", "7", 7),
        ("WHISPERD_LIMITS__UPLOAD", "5MB", 5_000_000),
        ("WHISPERD_TRANSCRIBE__VAD", "off", False),
        ("WHISPERD_TRANSCRIBE__VAD", "True", True),
        ("WHISPERD_TRANSCRIBE__THREADS", "3", 3),
        ("WHISPERD_TRANSCRIBE__THREADS", "auto", "auto"),
        ("WHISPERD_TRANSCRIBE__MODEL", "tiny.en", "tiny.en"),
        ("WHISPERD_LOG__LEVEL", "debug", "debug"),
        ("WHISPERD_PATHS__STATE", "/srv", Path("/srv")),
        ("WHISPERD_SERVER__LISTEN", "a:1, b:2", ("a:1", "b:2")),
        ("WHISPERD_SERVER__LISTEN", '["a:1", "unix:/with,comma"]', ("a:1", "unix:/with,comma")),
        ("WHISPERD_CUDA__LIBRARY_DIRS", "", ()),
    ],
)
def test_a_variable_sets_its_option(name: str, text: str, value: object) -> None:
    config = load(None, {name: text})
    path = next(path for path, option in OPTIONS.items() if variable(option) == name)
    assert OPTIONS[path].of(config) == value


def test_a_variable_wins_over_the_files(tmp_path: Path) -> None:
    path = tmp_path / "whisperd.toml"
    path.write_text("[limits]\nwaiting = 1\nwait = '1min'\n", encoding="utf-8")
    config, origins = read(path, {"WHISPERD_LIMITS__WAITING": "2"})
    assert config.limits.waiting == 2
    assert origins == {"limits.waiting": "WHISPERD_LIMITS__WAITING", "limits.wait": str(path)}


@pytest.mark.parametrize(
    ("name", "text", "mistake"),
    [
        ("WHISPERD_LIMITS__WAITING", "many", 'limits.waiting: expected a whole number, got "many"'),
        ("WHISPERD_LIMITS__WAITING", "", 'limits.waiting: expected a whole number, got ""'),
        ("WHISPERD_TRANSCRIBE__VAD", "maybe", 'transcribe.vad: expected true or false, got "maybe"'),
        ("WHISPERD_TRANSCRIBE__MODEL", "", "transcribe.model: expected text, got nothing"),
        ("WHISPERD_SERVER__LISTEN", "", "server.listen: names no address; give at least one"),
        ("WHISPERD_SERVER__LISTEN", "a:1,b", 'server.listen: item 2: "b" is not an address; '),
        ("WHISPERD_SERVER__LISTEN", "[a:1]", "server.listen: "),
        ("WHISPERD_LIMIT__WAITING", "1", "sets no option; did you mean WHISPERD_LIMITS__WAITING?"),
        ("WHISPERD_XYZ__ABC", "1", "sets no option"),
        ("WHISPERD_LIMITS_WAITING", "1", "sets no option; did you mean WHISPERD_LIMITS__WAITING?"),
    ],
)
def test_a_mistake_in_a_variable_is_told_with_its_name(name: str, text: str, mistake: str) -> None:
    (line,) = refusal({name: text})
    assert line.startswith(f"{name}: {mistake}")


def test_variables_that_are_none_of_ours_are_left_alone() -> None:
    environ = {"WHISPERD_SERVER": "http://speech.lan:8000", "WHISPER_CACHE": "/x", "PATH": "/usr/bin"}
    assert load(None, environ) == Config()


@pytest.mark.parametrize(
    ("environ", "path", "value"),
    [
        ({"WHISPER_MODEL": "small"}, "transcribe.model", "small"),
        ({"WHISPER_DEVICE": "cuda"}, "transcribe.device", "cuda"),
        ({"WHISPER_COMPUTE_TYPE": "int8"}, "transcribe.compute_type", "int8"),
        ({"WHISPER_BEAM_SIZE": "3"}, "transcribe.beam_size", 3),
        ({"WHISPER_VAD": "false"}, "transcribe.vad", False),
        ({"WHISPER_DEFAULT_LANGUAGE": "pt"}, "transcribe.language", "pt"),
        ({"WHISPER_DEFAULT_LANGUAGE": "Automatic"}, "transcribe.language", "auto"),
        ({"WHISPER_DEFAULT_LANGUAGE": ""}, "transcribe.language", "auto"),
        ({"FLASK_HOST": "127.0.0.1"}, "server.listen", ("127.0.0.1:5000",)),
        ({"FLASK_HOST": "::1", "FLASK_PORT": "80"}, "server.listen", ("[::1]:80",)),
        ({"FLASK_PORT": "80"}, "server.listen", ("0.0.0.0:80",)),
        ({"CUDNN_EXTRA_LIB_DIRS": "/a::/b"}, "cuda.library_dirs", (Path("/a"), Path("/b"))),
    ],
)
def test_a_variable_of_an_older_system_sets_the_option_that_it_meant(
    environ: dict[str, str], path: str, value: object
) -> None:
    assert OPTIONS[path].of(load(None, environ)) == value


def test_an_older_variable_wins_over_the_file_and_ours_wins_over_it(tmp_path: Path) -> None:
    path = tmp_path / "whisperd.toml"
    path.write_text("[transcribe]\nmodel = 'base'\n", encoding="utf-8")
    environ = {"WHISPER_MODEL": "small"}
    assert load(path, environ).transcribe.model == "small"
    environ["WHISPERD_TRANSCRIBE__MODEL"] = "tiny.en"
    assert read(path, environ).origins == {"transcribe.model": "WHISPERD_TRANSCRIBE__MODEL"}


def test_a_mistake_in_an_older_variable_is_told_with_its_name() -> None:
    (host, beam) = refusal({"FLASK_HOST": "127.0.0.1", "FLASK_PORT": "http", "WHISPER_BEAM_SIZE": "wide"})
    assert host.startswith('FLASK_HOST and FLASK_PORT: server.listen: item 1: "127.0.0.1:http" is not')
    assert beam == 'WHISPER_BEAM_SIZE: transcribe.beam_size: expected a whole number, got "wide"'


def test_every_older_variable_names_an_option() -> None:
    assert set(OLDER_VARIABLES.values()) <= set(OPTIONS)
