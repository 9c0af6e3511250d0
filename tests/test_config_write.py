"""Configuration as text."""

import re
import stat
import tomllib
from pathlib import Path

import pytest

from whisperd.config.load import load, read
from whisperd.config.schema import OPTIONS, Config
from whisperd.config.units import Duration
from whisperd.config.write import sample, set_option, shown
from whisperd.errors import ConfigError

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A configuration file with one option."""
    path = tmp_path / "whisperd.toml"
    path.write_text("[limits]\nwaiting = 5\n", encoding="utf-8")
    return path


def test_the_file_in_etc_is_the_sample() -> None:
    assert (REPOSITORY / "etc" / "whisperd.toml").read_text(encoding="utf-8") == sample()


def test_the_sample_sets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "whisperd.toml"
    path.write_text(sample(), encoding="utf-8")
    assert read(path, {}).origins == {}


def test_the_sample_uncommented_is_every_default(tmp_path: Path) -> None:
    path = tmp_path / "whisperd.toml"
    path.write_text(re.sub(r"(?m)^#(?=\w)", "", sample()), encoding="utf-8")
    config, origins = read(path, {})
    assert config == Config()
    assert list(origins) == list(OPTIONS)


def test_no_line_of_the_sample_is_longer_than_a_terminal() -> None:
    assert max(map(len, sample().splitlines())) <= 100


@pytest.mark.parametrize(
    ("key", "text", "written"),
    [
        ("limits.upload", "500MB", "500MB"),
        ("limits.waiting", "7", 7),
        ("transcribe.vad", "no", False),
        ("transcribe.threads", "2", 2),
        ("transcribe.threads", "auto", "auto"),
        ("paths.state", "/srv/models", "/srv/models"),
        ("server.listen", "127.0.0.1:80,[::1]:80", ["127.0.0.1:80", "[::1]:80"]),
        ("cuda.library_dirs", '["/a,b"]', ["/a,b"]),
        ("cuda.library_dirs", "", []),
    ],
)
def test_an_option_is_set_in_a_drop_in_as_toml_has_it(
    main: Path, key: str, text: str, written: object
) -> None:
    file, winner = set_option(main, key, text)
    assert file == main.with_name("whisperd.toml.d") / "50-set.toml"
    assert winner == str(file)
    section, _, name = key.partition(".")
    assert tomllib.loads(file.read_text(encoding="utf-8")) == {section: {name: written}}
    assert read(main, {}).origins[key] == str(file)
    assert main.read_text(encoding="utf-8") == "[limits]\nwaiting = 5\n"


def test_options_that_were_set_before_stay(main: Path) -> None:
    set_option(main, "limits.wait", "2h")
    set_option(main, "limits.upload", "1GiB")
    set_option(main, "log.level", "debug")
    set_option(main, "limits.wait", "3h")
    config = load(main, {})
    assert config.limits.wait == Duration("3h")
    assert (config.limits.waiting, str(config.limits.upload), config.log.level) == (5, "1GiB", "debug")


def test_the_drop_in_can_be_read_by_the_service_and_leaves_nothing_beside_it(main: Path) -> None:
    file = set_option(main, "limits.wait", "2h").file
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("limits.wating", "1", "limits.wating: no such option; did you mean limits.waiting?"),
        ("limit.waiting", "1", "limit.waiting: no such option; did you mean limits.waiting?"),
        ("waiting", "1", "waiting: no such section; did you mean limits.waiting?"),
        ("limits.waiting", "many", 'limits.waiting: expected a whole number, got "many"'),
        ("server.listen", "a,b:1,c", 'server.listen: item 1: "a" is not an address'),
        ("workers.ping_timeout", "1s", "50-set.toml: workers.ping_timeout: workers.ping_timeout (1s) is"),
    ],
)
def test_a_value_that_can_not_be_used_is_refused_and_nothing_is_written(
    main: Path, key: str, text: str, message: str
) -> None:
    set_option(main, "log.level", "debug")
    before = main.with_name("whisperd.toml.d").joinpath("50-set.toml").read_bytes()
    with pytest.raises(ConfigError) as caught:
        set_option(main, key, text)
    assert message in caught.value.message
    assert main.with_name("whisperd.toml.d").joinpath("50-set.toml").read_bytes() == before


def test_nothing_is_set_beside_a_mistake_in_another_file(main: Path) -> None:
    main.write_text("[limits]\nwaiting = 'x'\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"whisperd\.toml: limits\.waiting: expected a whole number"):
        set_option(main, "limits.wait", "1h")
    assert not main.with_name("whisperd.toml.d").exists()


def test_a_mistake_in_the_drop_in_can_be_set_right(main: Path) -> None:
    file = set_option(main, "limits.wait", "2h").file
    file.write_text("[limits]\nwait = 5\n", encoding="utf-8")
    set_option(main, "limits.wait", "5h")
    assert str(load(main, {}).limits.wait) == "5h"
    file.write_text("[limits", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"50-set\.toml: not TOML"):
        set_option(main, "limits.wait", "6h")


def test_a_later_drop_in_is_named_as_the_one_that_wins(main: Path) -> None:
    later = main.with_name("whisperd.toml.d") / "90-local.toml"
    later.parent.mkdir()
    later.write_text("[log]\nlevel = 'error'\n", encoding="utf-8")
    assert set_option(main, "log.level", "debug").winner == str(later)


def test_the_values_in_force_are_shown_as_toml_with_their_origins(main: Path, tmp_path: Path) -> None:
    lines = list(shown(read(main, {"WHISPERD_SERVER__LISTEN": "a:1,b:2"})))
    again = tmp_path / "again.toml"
    again.write_text("\n".join(lines), encoding="utf-8")
    config = load(again, {})
    assert config.limits.waiting == 5
    assert config.server.listen == ("a:1", "b:2")
    assert any(re.fullmatch(rf"waiting = 5 +# {re.escape(str(main))}", line) for line in lines)
    assert any(re.fullmatch(r'listen = \["a:1", "b:2"\] +# WHISPERD_SERVER__LISTEN', line) for line in lines)
    assert any(re.fullmatch(r'upload = "2GiB" +# default', line) for line in lines)
