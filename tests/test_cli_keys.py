"""`whisperd keys` as it is typed."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keychain import HOUR, NOW

from whisperd.__main__ import main
from whisperd.access.keys import Key
from whisperd.access.ring import Ring
from whisperd.config.schema import Config, Paths
from whisperd.jobs.signature import Signer

Type = Callable[..., int]
NOBODY = 65534


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WHISPERD_PATHS__STATE", str(tmp_path / "state"))
    (tmp_path / "whisperd.toml").touch()
    return tmp_path / "state"


@pytest.fixture
def keys(state: Path) -> Type:
    def typed(*words: str) -> int:
        return main(["--config", str(state.with_name("whisperd.toml")), "keys", *words])

    return typed


def create(keys: Type, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[str, str]:
    """The id and the text of a new key."""
    assert keys("create", "--name", "notes", "--owner", "ann", *options) == 0
    printed, told = capsys.readouterr()
    return told.split()[2], printed.strip()


def listed(keys: Type, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert keys("list", "--json") == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def found(state: Path, text: str) -> Key | None:
    ring = Ring.open(state)
    try:
        return ring.find(text, at=NOW)
    finally:
        ring.close()


# ---- create and list -----------------------------------------------------------------------------


def test_a_new_key_is_printed_alone_once(state: Path, keys: Type, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys("create", "--name", "notes", "--owner", "ann") == 0
    printed, told = capsys.readouterr()
    text = printed.removesuffix("\n")
    assert len(text) == 46
    key = found(state, text)
    assert key
    assert told == f"whisperd: key {key.id} is made for ann; keep it, for it can't be shown again\n"
    assert (key.name, key.owner, key.permissions, key.rate_limit) == (
        "notes",
        "ann",
        ("stt", "jobs", "llm"),
        60,
    )
    keys("list")
    keys("list", "--json")
    assert text[3:] not in capsys.readouterr().out


def test_a_key_with_everything(state: Path, keys: Type, capsys: pytest.CaptureFixture[str]) -> None:
    _, text = create(
        keys, capsys, "--organization", "acme", "--permissions", "admin, stt,stt", "--rate-limit", "600",
        "--expires", "2999-01-31",
    )  # fmt: skip
    key = found(state, text)
    assert key
    assert (key.organization_id, key.permissions, key.rate_limit) == ("acme", ("admin", "stt"), 600)
    assert str(key.expires_at) == "2999-01-31 00:00:00+00:00"


def test_a_key_expires_after_a_time(keys: Type, capsys: pytest.CaptureFixture[str]) -> None:
    create(keys, capsys, "--expires", "90d")
    [row] = listed(keys, capsys)
    assert row["created_at"] < row["expires_at"]


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--permissions", "stt,root", 'there is no permission "root"; there are stt, jobs, llm, admin, *'),
        ("--permissions", "", 'there is no permission ""'),
        ("--rate-limit", "0", '"0" is not a number from 1'),
        ("--rate-limit", "-1", "rate-limit"),
        ("--expires", "2020-01-01", "2020-01-01 is not in the future"),
        ("--expires", "soon", '"soon" is neither a length of time, such as 90d, nor a date'),
        ("--expires", "0", "0 is not in the future"),
        ("--expires", "99999999d", "neither a length of time"),
        ("--owner", " ", "it needs characters"),
        ("--owner", "a\nb", "it needs characters that can be printed"),
    ],
)
def test_what_makes_no_key_is_told(
    state: Path, keys: Type, capsys: pytest.CaptureFixture[str], option: str, value: str, complaint: str
) -> None:
    with pytest.raises(SystemExit) as raised:
        keys("create", "--name", "n", "--owner", "o", option, value)
    assert raised.value.code == 2
    assert complaint in capsys.readouterr().err
    assert not state.exists()


def test_the_list_tells_the_state_of_each(keys: Type, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys("list") == 0
    capsys.readouterr()
    first, _ = create(keys, capsys)
    second, _ = create(keys, capsys, "--expires", "2999-01-31")
    keys("revoke", first)
    capsys.readouterr()
    assert keys("list") == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["ID", "NAME", "OWNER", "PERMISSIONS", "RATE", "STATE", "LAST", "USED"]
    states = {line.split()[0]: line for line in lines}
    assert "revoked" in states[first]
    assert "valid until 2999-01-31" in states[second]


# ---- revoke and rotate ---------------------------------------------------------------------------


def test_a_revoked_key_opens_nothing(state: Path, keys: Type, capsys: pytest.CaptureFixture[str]) -> None:
    key_id, text = create(keys, capsys)
    assert keys("revoke", key_id) == 0
    assert capsys.readouterr().out == f"key {key_id} is revoked\n"
    assert found(state, text) is None


def test_an_unknown_id_does_not_keep_others_from_being_revoked(
    state: Path, keys: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    key_id, text = create(keys, capsys)
    assert keys("revoke", "nope", key_id) == 1
    assert capsys.readouterr().err == "whisperd: there is no key 'nope'; see `whisperd keys list`\n"
    assert found(state, text) is None


def test_a_rotated_key_works_for_a_day(state: Path, keys: Type, capsys: pytest.CaptureFixture[str]) -> None:
    key_id, old = create(keys, capsys)
    assert keys("rotate", key_id) == 0
    printed, told = capsys.readouterr()
    assert f"key {key_id} works until " in told
    assert found(state, printed.strip())
    assert found(state, old)
    rows = {row["id"]: row for row in listed(keys, capsys)}
    assert rows[key_id]["expires_at"] > rows[key_id]["created_at"]


def test_without_grace_the_old_key_ends_at_once(keys: Type, capsys: pytest.CaptureFixture[str]) -> None:
    key_id, _ = create(keys, capsys)
    assert keys("rotate", key_id, "--grace", "0") == 0
    assert f"key {key_id} works no longer" in capsys.readouterr().err
    keys("list")
    assert "expired" in capsys.readouterr().out


def test_a_grace_that_is_no_time(keys: Type, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        keys("rotate", "x", "--grace", "long")
    assert "is not an amount" in capsys.readouterr().err


# ---- import --------------------------------------------------------------------------------------


def exported(tmp_path: Path, *rows: dict[str, Any]) -> tuple[str, str, str]:
    """The words that import these rows."""
    (tmp_path / "salt").write_text("pepper \n", encoding="utf-8")
    (tmp_path / "rows").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(tmp_path / "rows"), "--salt-file", str(tmp_path / "salt")


def row(text: str, **options: Any) -> dict[str, Any]:
    hashed = hashlib.sha256(b"pepper " + text.removeprefix("lx_").encode()).hexdigest()
    defaults = {"id": hashed[:8], "name": "app", "user_id": "u1", "permissions": ["*"], "rate_limit": 5}
    return defaults | {"key_hash": hashed} | options


def test_imported_keys_open_what_they_opened(
    state: Path, keys: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "lx_" + "k" * 43
    assert keys("import", *exported(tmp_path, row(text))) == 0
    assert capsys.readouterr().out == "1 of 1 keys are taken over\n"
    key = found(state, text)
    assert key
    assert (key.owner, key.permissions, key.rate_limit) == ("u1", ("*",), 5)


def test_what_is_skipped_is_told_with_its_reason(
    keys: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = row("lx_" + "k" * 43)
    rows = (
        good,
        row("lx_b", is_revoked=True),
        row("lx_c", expires_at=str(NOW - 9999 * HOUR)),
        good,
        row("lx_d", id=""),
    )
    assert keys("import", *exported(tmp_path, *rows)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "row 2 (app) is skipped: it was revoked",
        "row 3 (app) is skipped: it has expired",
        "row 4 (app) is skipped: it is here already",
        "row 5 (app) is skipped: id is missing",
        "1 of 5 keys are taken over",
    ]


def test_importing_twice_changes_nothing(
    keys: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = exported(tmp_path, row("lx_" + "k" * 43))
    assert keys("import", *words) == 0
    capsys.readouterr()
    before = listed(keys, capsys)
    assert keys("import", *words) == 1
    assert "0 of 1 keys" in capsys.readouterr().out
    assert listed(keys, capsys) == before


def test_rows_may_come_from_standard_input(tmp_path: Path, state: Path) -> None:
    path, *salt = exported(tmp_path, row("lx_" + "k" * 43))
    command = [
        sys.executable,
        "-m",
        "whisperd",
        "--config",
        str(tmp_path / "whisperd.toml"),
        "keys",
        "import",
        "-",
        *salt,
    ]
    rows = Path(path).read_bytes()
    done = subprocess.run(command, input=rows, capture_output=True, check=True, env=os.environ)
    assert done.stdout == b"1 of 1 keys are taken over\n"
    assert found(state, "lx_" + "k" * 43)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("salt", b"\n", "there is no salt on the first line of"),
        ("salt", b"\xff", "is not text in UTF-8"),
        ("rows", b"[1]", "every row has to be an object"),
        ("rows", b"[", "what looks like JSON is none"),
        ("rows", None, "No such file or directory"),
    ],
)
def test_files_that_can_not_be_read(
    keys: Type,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    complaint: str,
) -> None:
    words = exported(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    assert keys("import", *words) == 1
    assert complaint in capsys.readouterr().err


# ---- webhooks ------------------------------------------------------------------------------------


def test_the_webhooks_secret_is_the_one_that_they_are_signed_with(
    state: Path, keys: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keys("webhook-secret", "ann") == 0
    secret = capsys.readouterr().out.strip()
    assert secret == Signer.of(Config(paths=Paths(state=state))).secret_of("ann")
    keys("webhook-secret", "bob")
    assert capsys.readouterr().out.strip() != secret


# ---- whose they are ------------------------------------------------------------------------------


def test_the_keys_are_for_their_owner_alone(
    state: Path, keys: Type, capsys: pytest.CaptureFixture[str]
) -> None:
    create(keys, capsys)
    assert (state / "access").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_root_makes_belongs_to_the_owner_of_the_state_directory(state: Path) -> None:
    for directory in (state.parent, *state.parent.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o111)
    state.mkdir()
    os.chown(state, NOBODY, NOBODY)
    command = [
        sys.executable,
        "-m",
        "whisperd",
        "--config",
        str(state.with_name("whisperd.toml")),
        "keys",
        "create",
    ]
    subprocess.run([*command, "--name", "n", "--owner", "o"], check=True, capture_output=True)
    made = [state / "access", *(state / "access").iterdir()]
    assert len(made) > 1
    assert {path.stat().st_uid for path in made} == {NOBODY}
