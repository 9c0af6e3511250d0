"""HTTPS by the service itself, as the README has it: with credentials of the unit, and with files."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from certificates import Authority
from recordings import conversation

from boxes.box import Box, Reply

SOURCE = "/etc/ssl/private"
"""Root's alone: systemd reads them for the service."""
FILES = "/etc/whisperd"
DROP_IN = "/etc/whisperd.toml.d/tls.toml"


class Pair(NamedTuple):
    """A certificate and its key, and the authority that a client has to trust."""

    authority: Path
    certificate: str
    key: str


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, Pair]:
    """Two, each of an authority of its own: who trusts one shows which of them is in force."""

    def made(name: str) -> Pair:
        authority = Authority(tmp_path_factory.mktemp(name))
        certificate, key = authority.issue(name)
        return Pair(authority.certificate, certificate.read_text(), key.read_text())

    return made("first"), made("second")


def put(box: Box, directory: str, pair: Pair, *, owner: str = "root:root", mode: str = "600") -> None:
    """Have these in the place of what there is."""
    for name, text in (("speech.pem", pair.certificate), ("speech.key", pair.key)):
        path = f"{directory}/{name}"
        box.write(path, text)
        box.run("chown", owner, path)
        box.run("chmod", mode, path)


def restart(box: Box) -> None:
    """However often it was started before: systemd counts that."""
    box.systemctl("reset-failed", "whisperd.service")
    box.systemctl("restart", "whisperd.service")


def configure(box: Box, certificate: str, key: str) -> None:
    box.write(DROP_IN, f'[server]\ntls_certificate = "{certificate}"\ntls_key = "{key}"\n')


def ask(box: Box, pair: Pair) -> Reply:
    """What a client is told that trusts this pair's authority alone; status 0 where it goes away."""
    return box.send("/health/ready", "--cacert", str(pair.authority), scheme="https").reply()


@pytest.fixture
def credentials(box: Box, pairs: tuple[Pair, Pair]) -> Iterator[None]:
    """The service with the first pair, as credentials."""
    put(box, SOURCE, pairs[0])
    configure(box, "credential:tls.pem", "credential:tls.key")
    with box.override(
        f"LoadCredential=tls.pem:{SOURCE}/speech.pem", f"LoadCredential=tls.key:{SOURCE}/speech.key"
    ):
        restart(box)
        yield
        box.run("rm", DROP_IN)
    restart(box)


@pytest.mark.usefixtures("credentials")
def test_a_client_that_trusts_the_authority_gets_its_text(box: Box, pairs: tuple[Pair, Pair]) -> None:
    first, second = pairs
    form = ("--form", f"file=@{conversation()}", "--cacert", str(first.authority))
    reply = box.send("/transcribe?language=en", *form, scheme="https").reply()
    assert reply.status == 200, reply.body
    assert "jersey" in reply.json()["text"].lower()
    assert ask(box, second).status == 0
    assert box.get("/health/ready").status == 0
    assert box.run("runuser", "-u", "whisperd", "--", "cat", f"{SOURCE}/speech.key", check=False).returncode
    assert first.key.splitlines()[1] not in box.messages()


@pytest.mark.usefixtures("credentials")
def test_new_credentials_are_taken_by_a_restart_as_systemd_copies_them_then(
    box: Box, pairs: tuple[Pair, Pair]
) -> None:
    first, second = pairs
    put(box, SOURCE, second)
    pid = box.main_pid()
    box.systemctl("reload", "whisperd.service")
    assert (ask(box, first).status, ask(box, second).status) == (200, 0)
    assert box.main_pid() == pid
    restart(box)
    assert (ask(box, first).status, ask(box, second).status) == (0, 200)


@pytest.mark.usefixtures("credentials")
def test_credentials_that_do_not_go_together_are_told_and_the_start_is_not_repeated(
    box: Box, pairs: tuple[Pair, Pair]
) -> None:
    first, second = pairs
    box.write(f"{SOURCE}/speech.key", second.key)
    assert box.systemctl("restart", "whisperd.service", check=False).returncode != 0
    assert box.show("ExecMainStatus") == "78"
    assert box.show("ActiveState") == "failed"
    assert "server.tls_key: credential:tls.key is not the key" in box.messages()
    box.write(f"{SOURCE}/speech.key", first.key)
    restart(box)
    assert ask(box, first).status == 200


def test_new_files_are_taken_by_a_reload(box: Box, pairs: tuple[Pair, Pair]) -> None:
    first, second = pairs
    put(box, FILES, first, owner="root:whisperd", mode="640")
    configure(box, f"{FILES}/speech.pem", f"{FILES}/speech.key")
    restart(box)
    try:
        assert ask(box, first).status == 200
        pid = box.main_pid()
        put(box, FILES, second, owner="root:whisperd", mode="640")
        box.systemctl("reload", "whisperd.service")
        assert (ask(box, first).status, ask(box, second).status) == (0, 200)
        assert box.main_pid() == pid
        box.write(f"{FILES}/speech.key", first.key)
        assert box.systemctl("reload", "whisperd.service", check=False).returncode != 0
        assert ask(box, second).status == 200
    finally:
        box.run("rm", DROP_IN)
        restart(box)
