"""Whose the files in the state directory are. Each case has a process of its own: none can be root again."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from whisperd.errors import WhisperdError
from whisperd.owner import act_as_owner

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
NOBODY = 65534


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def reachable(tmp_path: Path) -> None:
    """Let another user pass through the directories above the test's own."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o111)


def run(state: Path, before: str = "", after: str = "") -> subprocess.CompletedProcess[str]:
    """Become the owner, with something before, and something after it."""
    lines = (
        "import os, sys",
        "from pathlib import Path",
        "from whisperd import owner",
        f"state = Path({str(state)!r})",
        before,
        "try: owner.act_as_owner(state)",
        "except owner.WhisperdError as error: sys.exit(str(error))",
        after,
    )
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )


def test_a_missing_state_directory_is_made_with_those_above_it(state: Path) -> None:
    done = run(state / "below", before="owner.SERVICE_USER = 'no-such-user'")
    assert done.returncode == 0, done.stderr
    assert (state / "below").is_dir()


@needs_root
@pytest.mark.usefixtures("reachable")
def test_what_root_writes_belongs_to_the_owner_of_the_state_directory(state: Path) -> None:
    state.mkdir()
    os.chown(state, NOBODY, NOBODY)
    done = run(state, after="(state / 'models').mkdir(); print(os.getgroups(), os.environ['HOME'])")
    assert done.returncode == 0, done.stderr
    status = (state / "models").stat()
    assert (status.st_uid, status.st_gid) == (NOBODY, NOBODY)
    assert "0" not in done.stdout.partition("]")[0].strip("[").split(", ")
    assert done.stdout.rstrip().endswith(pwd.getpwuid(NOBODY).pw_dir)


@needs_root
@pytest.mark.usefixtures("reachable")
def test_an_owner_without_an_account_will_do(state: Path) -> None:
    state.mkdir()
    os.chown(state, 64999, 64998)
    done = run(state, after="(state / 'models').mkdir(); print(os.getgroups())")
    assert done.returncode == 0, done.stderr
    status = (state / "models").stat()
    assert (status.st_uid, status.st_gid) == (64999, 64998)
    assert done.stdout.strip() == "[]"


@needs_root
@pytest.mark.usefixtures("reachable")
def test_root_makes_a_missing_state_directory_for_the_service(state: Path) -> None:
    done = run(state, before="owner.SERVICE_USER = 'nobody'", after="(state / 'models').mkdir()")
    assert done.returncode == 0, done.stderr
    assert state.stat().st_uid == NOBODY
    assert state.stat().st_mode & 0o777 == 0o750
    assert (state / "models").stat().st_uid == NOBODY


@needs_root
def test_root_keeps_what_is_its_own(state: Path) -> None:
    done = run(state, before="owner.SERVICE_USER = 'no-such-user'", after="print(os.geteuid())")
    assert (done.stdout.strip(), state.stat().st_uid) == ("0", 0)


@needs_root
@pytest.mark.usefixtures("reachable")
def test_a_user_who_may_not_write_is_told_which_user_may(state: Path) -> None:
    state.mkdir(mode=0o755)
    done = run(state, before=f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})")
    assert done.stderr.strip() == f"{state} belongs to root: run this with sudo, or as root"


@needs_root
@pytest.mark.usefixtures("reachable")
def test_a_user_who_may_not_make_the_state_directory_is_told_to_use_sudo(state: Path) -> None:
    done = run(state, before=f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})")
    assert done.stderr.strip() == f"can't write {state}: Permission denied; run this with sudo"


def test_a_state_directory_that_is_a_file_is_named(state: Path) -> None:
    state.write_text("")
    with pytest.raises(WhisperdError, match=r"can't write .*Not a directory"):
        act_as_owner(state / "below")
