"""From files to a configuration, or to all of their mistakes."""

import subprocess
import sys
from pathlib import Path

import pytest

from whisperd.config.load import load, read
from whisperd.config.schema import OPTIONS, Config
from whisperd.errors import ConfigError


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """An empty configuration file."""
    path = tmp_path / "whisperd.toml"
    path.touch()
    return path


def drop_in(main: Path, name: str, text: str) -> Path:
    """Put a drop-in beside the configuration file."""
    path = main.with_name("whisperd.toml.d") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(main: Path, text: str) -> list[str]:
    """The lines that a file with this text is refused with, without the file's name."""
    main.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(main, {})
    lines = caught.value.message.splitlines()
    assert all(line.startswith(f"{main}: ") for line in lines)
    return [line.removeprefix(f"{main}: ") for line in lines]


def test_an_empty_file_gives_the_defaults(main: Path) -> None:
    assert load(main, {}) == Config()


def test_every_kind_of_value_is_read(main: Path) -> None:
    main.write_text(
        """
        [server]
        listen = ["127.0.0.1:80", "[::1]:8000", "unix:/run/whisperd/http.sock", "speech.lan:0"]
        [paths]
        state = "/srv/whisperd"
        [limits]
        upload = "500MB"
        duration = "1h 30min"
        waiting = 7
        [transcribe]
        device = "cuda:1"
        compute_type = "int8_float16"
        language = "yue"
        vad = false
        concurrency = 2
        threads = "auto"
        [cuda]
        library_dirs = ["/usr/local/cuda/lib64"]
        """,
        encoding="utf-8",
    )
    config = load(main, {})
    assert config.server.listen[1] == "[::1]:8000"
    assert config.paths.state == Path("/srv/whisperd")
    assert config.limits.upload == 500_000_000
    assert float(config.limits.duration) == 5400
    assert str(config.limits.duration) == "1h 30min"
    assert config.limits.waiting == 7
    assert config.transcribe.device == "cuda:1"
    assert config.transcribe.compute_type == "int8_float16"
    assert config.transcribe.vad is False
    assert (config.transcribe.concurrency, config.transcribe.threads) == (2, "auto")
    assert config.cuda.library_dirs == (Path("/usr/local/cuda/lib64"),)
    assert config.diarize == Config().diarize


def test_drop_ins_win_in_lexical_order_option_by_option(main: Path) -> None:
    main.write_text("[limits]\nwaiting = 1\nupload = '1GiB'\nwait = '1min'\n", encoding="utf-8")
    late = drop_in(main, "20-late.toml", "[limits]\nwaiting = 3\n")
    early = drop_in(main, "10-early.toml", "[limits]\nwaiting = 2\nupload = '2GiB'\n")
    drop_in(main, ".hidden.toml", "[limits]\nwaiting = 4\n")
    drop_in(main, "30-old.toml.dpkg-old", "no TOML at all")
    config, origins = read(main, {})
    assert (config.limits.waiting, str(config.limits.upload), str(config.limits.wait)) == (3, "2GiB", "1min")
    assert origins == {"limits.waiting": str(late), "limits.upload": str(early), "limits.wait": str(main)}


def test_the_default_file_may_be_missing_and_its_drop_ins_still_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "whisperd.toml"
    monkeypatch.setattr("whisperd.config.load.DEFAULT_PATH", missing)
    assert load(None, {}) == Config()
    drop_in(missing, "a.toml", "[limits]\nwaiting = 2\n")
    assert load(None, {}).limits.waiting == 2


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"whisperd\.toml: No such file or directory$"):
        load(tmp_path / "whisperd.toml", {})


def test_a_directory_is_no_configuration_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=": Is a directory"):
        load(tmp_path, {})


def test_a_drop_in_directory_that_is_none_is_a_mistake(main: Path) -> None:
    main.with_name("whisperd.toml.d").touch()
    with pytest.raises(ConfigError, match=r"whisperd\.toml\.d: Not a directory$"):
        load(main, {})


def test_a_syntax_error_is_told_with_its_line(main: Path) -> None:
    assert mistakes(main, "[server]\nlisten = \n") == ["not TOML: Invalid value (at line 2, column 10)"]


def test_a_file_that_is_not_utf8_is_refused(main: Path) -> None:
    main.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match=r": not UTF-8 \(at byte 5\)$"):
        load(main, {})


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[transcribr]", "transcribr: no such section; did you mean transcribe?"),
        (
            "[zzz]",
            (
                "zzz: no such section; there are server, paths, api, fetch, access, jobs, webhooks, "
                "llm, limits, transcribe, diarize, "
                "cuda, workers, log"
            ),
        ),
        ("model = 'base'", "model: no such section; did you mean transcribe.model or diarize.model?"),
        ("server = 1", "server: is a section; write [server] and its options below it"),
        ("[[server]]", "server: is a section; write [server] and its options below it"),
        ("[server.listen.x]", 'server.listen: expected an array, such as ["..."], got a table'),
        (
            "[transcribe]\nbeem_size = 5",
            "transcribe.beem_size: no such option; did you mean transcribe.beam_size?",
        ),
        ("[server]\nbeam_size = 5", "server.beam_size: no such option; did you mean transcribe.beam_size?"),
        ("[paths]\nxyz = 5", "paths.xyz: no such option; there are state, spool, run"),
    ],
)
def test_what_is_unknown_is_told_with_what_may_be_meant(main: Path, text: str, mistake: str) -> None:
    assert mistakes(main, text) == [mistake]


DEVICES = '"auto", "cpu", "cuda", "cuda:N", several of these with commas between them, or "cuda:all"'


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("limits.waiting", '"64"', 'expected a whole number, got "64"'),
        ("limits.waiting", "1.5", "expected a whole number, got 1.5"),
        ("limits.waiting", "true", "expected a whole number, got true"),
        ("limits.waiting", "0", "0 is too small; it must be more than 0"),
        ("limits.waiting", "-1", "-1 is too small; it must be more than 0"),
        ("limits.waiting", "2020-01-01", "expected a whole number, got a date or time"),
        ("limits.wait", '"0s"', "0s is too small; it must be more than 0"),
        ("limits.upload", "[]", 'expected text with a unit, such as "500MB" or "2GiB"'),
        ("transcribe.vad", "1", "expected true or false, got 1"),
        ("transcribe.vad", '"true"', 'expected true or false, got "true"'),
        ("transcribe.threads", '"many"', 'expected "auto" or a whole number, got "many"'),
        ("transcribe.threads", "true", 'expected "auto" or a whole number, got true'),
        ("transcribe.threads", "0", "0 is too small; it must be more than 0"),
        ("transcribe.device", '"gpu"', f'"gpu" is not a device; use {DEVICES}'),
        ("transcribe.device", '"cuda:"', f'"cuda:" is not a device; use {DEVICES}'),
        ("transcribe.model", '""', "expected text, got nothing"),
        ("transcribe.model", '"./base"', '"./base" is not a model; use a name from `whisperd models list`'),
        ("log.level", '"warn"', 'expected one of "debug", "info", "warning", "error", got "warn"'),
        ("log.level", "{}", 'expected one of "debug", "info", "warning", "error", got a table'),
        ("paths.state", '"var/lib"', '"var/lib" is not an absolute path'),
        ("paths.state", '"/var/../lib"', '"/var/../lib" must not hold ".."'),
        ("paths.state", "[1]", "expected a path, got an array"),
        ("fetch.ca_file", '"/\\u0000"', "no path can hold the character U+0000"),
        ("cuda.library_dirs", '"/a"', 'expected an array, such as ["..."], got "/a"'),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(main: Path, path: str, value: str, message: str) -> None:
    assert mistakes(main, f"{path} = {value}") == [f"{path}: {message}"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("server.trusted_proxies", '["unix", "10.1/8"]', 'item 2: "10.1/8" is not a network'),
        ("fetch.proxy", '"https://proxy.lan:3128"', '"https://proxy.lan:3128" is not the URL of a proxy'),
        ("fetch.proxy", '"proxy.lan:3128"', '"proxy.lan:3128" is not the URL of a proxy'),
        ("fetch.proxy", '"http://proxy.lan"', '"proxy.lan" is not an address'),
        ("fetch.proxy", '"http://proxy.lan:3128/x"', '"proxy.lan:3128/x" is not an address'),
        ("fetch.proxy", '"http://unix:/run/proxy"', '"http://unix:/run/proxy" is not the URL of a proxy'),
        ("fetch.ca_file", '"ca.pem"', '"ca.pem" is not an absolute path'),
        ("api.cors_origins", '["https://a.example/"]', 'item 1: "https://a.example/" is not an origin'),
        ("api.cors_origins", '["a.example"]', 'item 1: "a.example" is not an origin'),
        ("llm.key_file", '"key"', '"key" is not an absolute path'),
        ("llm.key_file", '"credential:../key"', '"credential:../key" does not name a credential'),
        ("server.tls_certificate", '"credential:"', '"credential:" does not name a credential'),
    ],
)
def test_what_is_no_network_origin_or_file_is_refused(
    main: Path, path: str, value: str, message: str
) -> None:
    (line,) = mistakes(main, f"{path} = {value}")
    assert line.startswith(f"{path}: {message}")


@pytest.mark.parametrize(
    ("language", "hint"),
    [("german", '"de"'), ("de-DE", '"de"'), ("en_US", '"en"'), ("Haitian Creole", '"ht"')],
)
def test_a_language_is_a_code_and_a_near_one_is_offered(main: Path, language: str, hint: str) -> None:
    (line,) = mistakes(main, f"transcribe.language = '{language}'")
    assert line.endswith(
        f'is not a language that Whisper knows; use its code, or "auto"; did you mean {hint}?'
    )
    (line,) = mistakes(main, "transcribe.language = 'xx'")
    assert line.endswith('"xx" is not a language that Whisper knows; use its code, or "auto"')


@pytest.mark.parametrize(
    "address",
    ["8000", ":8000", "*:8000", "localhost", "localhost:", "localhost:http", "localhost:65536", "::1:8000",
     "[::1]", "[::1:8000", "[127.0.0.1]:8000", "300.0.0.1:8000", "127.1:80", "-x:80", "a b:80", "http://a:80",
     "unix:relative", "unix:/" + 107 * "x"],
)  # fmt: skip
def test_a_malformed_address_is_refused(main: Path, address: str) -> None:
    (line,) = mistakes(main, f"server.listen = ['127.0.0.1:8000', '{address}']")
    assert line.startswith('server.listen: item 2: "')


def test_all_mistakes_are_told_at_once_each_with_its_place(main: Path) -> None:
    main.write_text("[limits]\nupload = 5\nwating = 3\n[cuda]\nlibrary_dirs = ['a', 1]\n", encoding="utf-8")
    broken = drop_in(main, "10.toml", "[")
    other = drop_in(main, "20.toml", "[workers]\nping_interval = '1h'\n")
    with pytest.raises(ConfigError) as caught:
        load(main, {"WHISPERD_LOG__LEVEL": "loud"})
    places = [": ".join(line.split(": ")[:2]) for line in caught.value.message.splitlines()]
    assert places == [
        f"{main}: limits.upload",
        f"{main}: limits.wating",
        f"{main}: cuda.library_dirs",
        f"{main}: cuda.library_dirs",
        f"{broken}: not TOML",
        "WHISPERD_LOG__LEVEL: log.level",
        f"{other}: workers.ping_interval",
    ]


def test_every_option_says_what_it_is_for() -> None:
    assert all(option.doc.endswith((".", '".')) for option in OPTIONS.values())


def test_reading_the_configuration_costs_a_start_little() -> None:
    program = "import sys, whisperd.config.load; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"aiohttp", "msgspec", "rich", "tomli_w", "json", "difflib"} & set(loaded.stdout.split())
