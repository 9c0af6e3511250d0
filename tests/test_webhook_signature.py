"""Signatures of webhooks, verified as receivers do it."""

import os
import stat
import time
from pathlib import Path

import pytest
from conftest import changed
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from whisperd.config.schema import Config
from whisperd.errors import StartError
from whisperd.jobs.signature import Signer

BODY = '{"event":"job.completed","text":"Füße"}'.encode()


def headers(signer: Signer, owner: str = "ada", body: bytes = BODY) -> dict[str, str]:
    return signer.headers(owner, "msg_1", int(time.time()), body)


def test_a_receiver_verifies_it_with_its_owners_secret(config: Config) -> None:
    signer = Signer.of(config)
    Webhook(signer.secret_of("ada")).verify(BODY, headers(signer))


def test_nothing_that_is_signed_can_be_changed(config: Config) -> None:
    signer = Signer.of(config)
    receiver, signed = Webhook(signer.secret_of("ada")), headers(signer)
    a_minute_later = str(int(signed["webhook-timestamp"]) + 60)
    for body, changes in (
        (BODY, {"webhook-id": "msg_2"}),
        (BODY, {"webhook-timestamp": a_minute_later}),
        (BODY + b" ", {}),
    ):
        with pytest.raises(WebhookVerificationError, match="No matching signature"):
            receiver.verify(body, signed | changes)


def test_an_owner_cannot_sign_for_another(config: Config) -> None:
    signer = Signer.of(config)
    with pytest.raises(WebhookVerificationError):
        Webhook(signer.secret_of("ada")).verify(BODY, headers(signer, "bob"))


def test_the_secret_is_made_once_and_for_nobody_else(config: Config) -> None:
    first = Signer.of(config).secret_of("ada")
    assert first.startswith("whsec_")
    assert Signer.of(config).secret_of("ada") == first
    [path] = config.paths.state.iterdir()
    assert path.name == "webhook.secret"
    assert len(path.read_bytes()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_server_has_another_secret(config: Config, tmp_path: Path) -> None:
    other = changed(config, "paths", state=tmp_path / "other")
    assert Signer.of(config).secret_of("ada") != Signer.of(other).secret_of("ada")


def test_who_makes_the_secret_second_takes_that_of_the_first(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync
    theirs: list[str] = []

    def meanwhile(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", real)
        monkeypatch.setattr(os, "getpid", lambda: 1)
        theirs.append(Signer.of(config).secret_of("ada"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    assert [Signer.of(config).secret_of("ada")] == theirs
    assert len(list(config.paths.state.iterdir())) == 1


def test_a_secret_may_be_configured(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("correct horse battery staple\n")
    configured = changed(config, "webhooks", secret_file=path)
    signer = Signer.of(configured)
    Webhook(signer.secret_of("ada")).verify(BODY, headers(signer))
    assert not config.paths.state.exists()


@pytest.mark.parametrize(
    ("text", "why"), [("too short\n", "too short"), ("\nsecret", "nothing on the first line")]
)
def test_a_configured_secret_that_is_none_is_refused(
    config: Config, tmp_path: Path, text: str, why: str
) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    with pytest.raises(StartError, match=why):
        Signer.of(changed(config, "webhooks", secret_file=path))


def test_a_configured_secret_that_is_not_there_is_refused(config: Config, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"webhooks\.secret_file.*No such file"):
        Signer.of(changed(config, "webhooks", secret_file=tmp_path / "missing"))


def test_a_damaged_secret_is_not_replaced_in_silence(config: Config) -> None:
    Signer.of(config)
    path = config.paths.state / "webhook.secret"
    path.write_bytes(b"half")
    with pytest.raises(StartError, match="damaged"):
        Signer.of(config)
    assert path.read_bytes() == b"half"
