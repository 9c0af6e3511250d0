"""The audit of the locks tells a dependency that is sound from one that nobody could be asked about."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LOCKS = Path(__file__).parent.parent / "packaging" / "locks"
FAKE = """
import sys
from pathlib import Path

here = Path(__file__).parent
pins = Path(sys.argv[sys.argv.index("--requirement") + 1]).read_text()
(here / "asked").open("a").write(pins)
print((here / "told").read_text())
sys.exit((here / "failure").exists() and "ConnectionError: the index can't be reached")
"""
SOUND = {"name": "aiohttp", "version": "3.14.5", "vulns": []}
HOLED = {
    "name": "pip",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}, {"id": "PYSEC-2", "fix_versions": []}],
}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch"}


class Audit:
    """The program, with another in the place of pip-audit."""

    def __init__(self, directory: Path) -> None:
        self.package = directory / "pip_audit"
        self.package.mkdir()
        (self.package / "__init__.py").touch()  # without it the real one goes before
        (self.package / "__main__.py").write_text(FAKE, encoding="utf-8")

    def run(self, *told: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
        text = json.dumps({"dependencies": told, "fixes": []}) if told else ""
        (self.package / "told").write_text(text, encoding="utf-8")
        return subprocess.run(
            [sys.executable, LOCKS / "audit"],
            env={"PYTHONPATH": str(self.package.parent)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path)


def test_every_version_of_every_lock_is_asked_after_as_the_index_knows_it(audit: Audit) -> None:
    done = audit.run(SOUND)
    assert (done.returncode, done.stderr) == (0, "")
    asked = (audit.package / "asked").read_text(encoding="utf-8")
    locked = [line for lock in LOCKS.glob("*.txt") for line in lock.read_text().splitlines() if "==" in line]
    assert asked.count("==") == len(locked) > 300
    assert re.search(r"^torch==[\d.]+$", asked, re.MULTILINE)
    assert "+" not in asked


def test_what_is_vulnerable_fails_with_the_version_that_is_not(audit: Audit) -> None:
    done = audit.run(SOUND, HOLED, UNKNOWN)
    assert done.returncode == 1
    assert "cpu.txt: pip 1.0: PYSEC-1, fixed in 1.1\n" in done.stdout
    assert "cpu.txt: pip 1.0: PYSEC-2, fixed in no version\n" in done.stdout


def test_what_the_index_does_not_know_is_not_called_sound(audit: Audit) -> None:
    done = audit.run(SOUND, UNKNOWN)
    assert done.returncode == 2
    assert "cpu.txt: NOT AUDITED: 1 of 2 versions. Dependency not found on PyPI" in done.stderr
    assert "versions audited" not in done.stdout


def test_an_index_that_can_not_be_reached_is_told_of(audit: Audit) -> None:
    (audit.package / "failure").touch()
    done = audit.run()
    assert done.returncode == 2
    assert "cpu.txt: NOT AUDITED: all of it. ConnectionError: the index can't be reached" in done.stderr
