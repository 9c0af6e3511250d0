"""Combinations of options that can't be had."""

from pathlib import Path

import pytest

from whisperd.config.conflicts import conflicts
from whisperd.config.load import load
from whisperd.config.schema import Config
from whisperd.errors import ConfigError


def refusal(tmp_path: Path, text: str) -> str:
    """The only mistake in a file with this text, without the file's name."""
    path = tmp_path / "whisperd.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    return caught.value.message.removeprefix(f"{path}: ")


def accepted(tmp_path: Path, text: str) -> Config:
    """The configuration that a file with this text gives."""
    path = tmp_path / "whisperd.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, {})


def test_the_defaults_go_together() -> None:
    assert list(conflicts(Config())) == []


@pytest.mark.parametrize("compute_type", ["float16", "bfloat16", "int8_float16", "int8_bfloat16"])
def test_a_cpu_has_no_half_precision(tmp_path: Path, compute_type: str) -> None:
    text = f"transcribe.device = 'cpu'\ntranscribe.compute_type = '{compute_type}'\n"
    assert refusal(tmp_path, text) == (
        f'transcribe.compute_type: "{compute_type}" is for a GPU, and transcribe.device is "cpu", '
        'which has "int8", "int8_float32" and "float32"'
    )


@pytest.mark.parametrize("compute_type", ["auto", "int8", "int8_float32", "float32"])
def test_a_cpu_has_the_other_compute_types(tmp_path: Path, compute_type: str) -> None:
    text = f"transcribe.device = 'cpu'\ntranscribe.compute_type = '{compute_type}'\n"
    assert accepted(tmp_path, text).transcribe.compute_type == compute_type


def test_an_english_model_goes_with_no_other_language(tmp_path: Path) -> None:
    assert refusal(tmp_path, "transcribe.model = 'tiny.en'\ntranscribe.language = 'fr'\n") == (
        'transcribe.language: transcribe.model ("tiny.en") knows English alone, '
        'and transcribe.language is "fr"'
    )
    accepted(tmp_path, "transcribe.model = 'tiny.en'\ntranscribe.language = 'en'\n")


def test_a_ping_is_not_given_up_before_the_next_is_due(tmp_path: Path) -> None:
    told = "workers.ping_timeout (20s) is shorter than workers.ping_interval (30s)"
    assert refusal(tmp_path, "workers.ping_interval = '30s'\n") == f"workers.ping_interval: {told}"
    told = "workers.ping_timeout (1s) is shorter than workers.ping_interval (5s)"
    assert refusal(tmp_path, "workers.ping_timeout = '1s'\n") == f"workers.ping_timeout: {told}"


@pytest.mark.parametrize("spool", ["/var/lib/whisperd", "/var/lib", "/"])
def test_the_spool_that_is_emptied_does_not_hold_the_models(tmp_path: Path, spool: str) -> None:
    assert refusal(tmp_path, f"paths.spool = '{spool}'\npaths.run = '/elsewhere'\n").startswith(
        f'paths.spool: paths.spool ("{spool}") is emptied at every start, '
        'and paths.state ("/var/lib/whisperd") lies in it'
    )


def test_the_spool_may_lie_in_the_state_directory(tmp_path: Path) -> None:
    accepted(tmp_path, "paths.spool = '/var/lib/whisperd/spool'\n")


def test_the_path_of_the_control_socket_fits_into_a_socket_address(tmp_path: Path) -> None:
    assert 'control.sock" is too long for a socket: 107 bytes is the limit' in refusal(
        tmp_path, f"paths.run = '/{96 * 'r'}'\n"
    )
    accepted(tmp_path, f"paths.run = '/{93 * 'r'}'\n")


@pytest.mark.parametrize(
    ("listen", "message"),
    [
        ("[]", "names no address; give at least one"),
        ('["a:80", "a:80"]', '"a:80" is listed twice'),
        ('["[::1]:80", "[0:0::1]:80"]', '"[0:0::1]:80" is listed twice'),
        ('["unix:/a/b", "unix:/a//b"]', '"unix:/a//b" is listed twice'),
        ('["0.0.0.0:80", "127.0.0.1:80"]', '"127.0.0.1:80" is taken by "0.0.0.0:80" already'),
        ('["[::1]:80", "[::]:80"]', '"[::]:80" is taken by "[::1]:80" already'),
        (
            '["unix:/run/whisperd/control.sock"]',
            '"unix:/run/whisperd/control.sock" is where the control socket lies',
        ),
    ],
)
def test_two_addresses_must_not_claim_the_same_place(tmp_path: Path, listen: str, message: str) -> None:
    assert refusal(tmp_path, f"server.listen = {listen}\n") == f"server.listen: {message}"


@pytest.mark.parametrize(
    "listen",
    [
        '["0.0.0.0:80", "[::]:80"]',
        '["127.0.0.1:80", "127.0.0.2:80"]',
        '["127.0.0.1:80", "127.0.0.1:81"]',
        '["127.0.0.1:0", "127.0.0.1:0"]',
        '["0.0.0.0:80", "unix:/run/whisperd/http.sock"]',
    ],
)
def test_addresses_beside_each_other_are_fine(tmp_path: Path, listen: str) -> None:
    assert len(accepted(tmp_path, f"server.listen = {listen}\n").server.listen) == 2


def test_a_conflict_with_a_value_that_is_wrong_itself_is_not_told(tmp_path: Path) -> None:
    text = "workers.ping_interval = '1h'\nworkers.ping_timeout = 'soon'\n"
    assert refusal(tmp_path, text).startswith('workers.ping_timeout: "soon" is not an amount')


def test_a_conflict_names_the_source_that_caused_it(tmp_path: Path) -> None:
    path = tmp_path / "whisperd.toml"
    path.write_text("transcribe.device = 'cpu'\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^WHISPER_COMPUTE_TYPE: transcribe\.compute_type: "):
        load(path, {"WHISPER_COMPUTE_TYPE": "float16"})


@pytest.mark.parametrize(("one", "other"), [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")])
def test_a_certificate_and_its_key_go_together(tmp_path: Path, one: str, other: str) -> None:
    told = refusal(tmp_path, f"server.{one} = '/etc/tls.pem'\n")
    assert told.startswith(f"server.{one}: ")
    assert f"set server.{other} too" in told
    accepted(tmp_path, "server.tls_certificate = '/etc/tls.pem'\nserver.tls_key = 'credential:tls.key'\n")


def test_a_login_is_for_a_proxy(tmp_path: Path) -> None:
    told = refusal(tmp_path, "fetch.proxy_login_file = '/etc/login'\n")
    assert told == "fetch.proxy_login_file: is for no proxy: set fetch.proxy too"
    accepted(tmp_path, "fetch.proxy_login_file = '/etc/login'\nfetch.proxy = 'http://proxy.lan:3128'\n")
