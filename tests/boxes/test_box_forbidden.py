"""What the unit forbids is tried from inside each process of the service."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recordings import conversation, tone

from boxes.box import SITE_PACKAGES, Box, until

STATE = "write to its state"
TALK = {"open a connection", "speak to a neighbour", "run a program of the system"}
ALLOWED = {
    "daemon": {STATE, *TALK},
    "decode": {STATE, *TALK},
    "recording": {STATE},
    "transcribe": {STATE, *TALK},
    "diarize": {STATE, *TALK},
}
"""What each may do, the process of one recording among them; all else is to fail."""


@pytest.fixture(scope="module")
def tried(box: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A service whose every process has tried it all."""
    box.write(f"{SITE_PACKAGES}/attempts.py", Path(__file__).with_name("attempts.py").read_text())
    box.write(f"{SITE_PACKAGES}/attempts.pth", "import attempts\n")
    box.systemctl("restart", "whisperd.service")
    until(lambda: box.get("/health/ready").status == 200, "readiness")
    to_decode = tone(tmp_path_factory.mktemp("tried") / "a.wav", channels=2)
    assert box.post("/transcribe", to_decode, language="en").status == 200
    yield box
    box.run("rm", f"{SITE_PACKAGES}/attempts.py", f"{SITE_PACKAGES}/attempts.pth")


def outcomes(box: Box, who: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(box.output("cat", f"/var/lib/whisperd/attempts-{who}.json"))
    return found


@pytest.mark.parametrize("who", ALLOWED)
def test_a_process_can_do_nothing_that_is_not_its_business(tried: Box, who: str) -> None:
    done = {attempt for attempt, outcome in outcomes(tried, who).items() if outcome == "done"}
    assert done == ALLOWED[who]


@pytest.mark.parametrize("who", ALLOWED)
def test_what_fails_is_forbidden_and_not_just_absent(tried: Box, who: str) -> None:
    refusals = {"EPERM", "EACCES", "EROFS", "EAFNOSUPPORT"}
    hidden = {"see processes of others": "ENOENT"}
    failed = {name: outcome for name, outcome in outcomes(tried, who).items() if outcome != "done"}
    assert {n: o for n, o in failed.items() if o not in refusals and hidden.get(n) != o} == {}


def test_a_service_that_is_watched_from_inside_still_works(tried: Box) -> None:
    assert tried.show("NRestarts") == "0"
    assert tried.post("/v1/audio/diarization", conversation()).status == 200
