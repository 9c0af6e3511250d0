"""The doctor on the server's certificate, on whom it trusts itself, and on files that hold secrets."""

import datetime
import os
from pathlib import Path

import pytest
from certificates import Authority
from conftest import changed
from fake_machine import NOBODY, machine

from whisperd.config.schema import Config
from whisperd.doctor.certificate import check_certificate
from whisperd.doctor.checks import diagnose
from whisperd.doctor.egress import check_egress
from whisperd.doctor.finding import Finding
from whisperd.doctor.secrets import check_secrets
from whisperd.doctor.user import User

ROOT = User("root", 0, frozenset({0}))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def secured(config: Config, certificate: Path, key: Path) -> Config:
    return changed(config, "server", tls_certificate=certificate, tls_key=key)


def certificate_finding(config: Config, user: User = ROOT) -> Finding:
    [finding] = check_certificate(machine(config, user=user))
    return finding


@pytest.mark.parametrize(
    ("days", "state", "detail"),
    [(90, "ok", "in 89 days"), (10, "warning", "in 9 days"), (-1, "failure", "it has ended")],
)
def test_the_end_of_a_certificate_is_told_in_time(
    config: Config, authority: Authority, days: int, state: str, detail: str
) -> None:
    pair = authority.issue(f"left{days}", expires_in=datetime.timedelta(days=days))
    found = certificate_finding(secured(config, *pair))
    assert (found.state, found.detail.startswith("for localhost")) == (state, True)
    assert detail in found.detail
    assert bool(found.remedy) == (state != "ok")


def test_a_pair_that_does_not_go_together_is_a_failure(config: Config, authority: Authority) -> None:
    (certificate, _), (_, key) = authority.issue("one"), authority.issue("two")
    found = certificate_finding(secured(config, certificate, key))
    assert (found.state, "is not the key" in found.detail) == ("failure", True)


def test_a_key_that_the_daemons_user_cannot_read_is_a_failure(config: Config, authority: Authority) -> None:
    certificate, key = authority.issue("private")
    certificate.chmod(0o644)
    key.chmod(0o600)
    found = certificate_finding(secured(config, certificate, key), NOBODY)
    assert (found.state, found.detail) == ("failure", f"{key} can't be read by whisperd")


def test_credentials_are_left_to_the_service(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    named = secured(config, Path("credential:crt"), Path("credential:key"))
    assert certificate_finding(named).state == "skipped"
    assert [finding.state for finding in check_secrets(machine(named))] == ["skipped"]


def egress_finding(config: Config, user: User = ROOT) -> Finding:
    [finding] = check_egress(machine(config, user=user))
    return finding


def test_authorities_that_the_daemon_can_use_are_fine(config: Config, authority: Authority) -> None:
    ours = changed(config, "fetch", ca_file=authority.certificate, proxy="http://proxy.lan:3128")
    found = egress_finding(ours)
    assert found.state == "ok"
    assert "by http://proxy.lan:3128" in found.detail
    assert str(authority.certificate) in found.detail
    assert egress_finding(config).detail == "directly, trusting the system's authorities"


def test_authorities_that_the_daemon_cannot_use_are_a_failure(config: Config, authority: Authority) -> None:
    private = authority.directory / "private.pem"
    private.write_bytes(authority.certificate.read_bytes())
    private.chmod(0o600)
    found = egress_finding(changed(config, "fetch", ca_file=private), NOBODY)
    assert (found.state, found.detail) == ("failure", f"{private} can't be read by whisperd")
    private.write_text("none")
    found = egress_finding(changed(config, "fetch", ca_file=private))
    assert (found.state, "fetch.ca_file" in found.detail) == ("failure", True)
    found = egress_finding(changed(config, "fetch", ca_file=Path("/nowhere/ca.pem")))
    assert (found.state, "No such file" in found.detail) == ("failure", True)


def test_without_tls_nothing_is_looked_at(config: Config) -> None:
    found = {finding.name: finding for finding in diagnose(machine(config))}
    assert found["certificate"].state == "skipped"


@pytest.mark.parametrize(
    ("mode", "user", "state"),
    [(0o600, ROOT, "ok"), (0o644, ROOT, "warning"), (0o644, NOBODY, "warning"), (0o600, NOBODY, "failure")],
)
def test_a_secret_is_for_the_daemon_and_nobody_else(
    config: Config, tmp_path: Path, mode: int, user: User, state: str
) -> None:
    path = tmp_path / "key"
    path.write_text("a key\n", encoding="utf-8")
    path.chmod(mode)
    os.chown(path, os.getuid(), os.getgid())
    [found] = check_secrets(machine(changed(config, "access", static_key_file=path), user=user))
    assert (found.name, found.state) == ("secret access.static_key_file", state)


def test_a_secret_that_is_not_there_is_a_failure(config: Config, tmp_path: Path) -> None:
    [found] = check_secrets(machine(changed(config, "llm", key_file=tmp_path / "key"), user=ROOT))
    assert (found.state, "No such file" in found.detail) == ("failure", True)
