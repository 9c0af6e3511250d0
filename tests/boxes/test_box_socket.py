"""Socket activation: systemd listens, so that no client is refused while the service is away."""

from collections.abc import Iterator

import pytest
from recordings import conversation

from boxes.box import Box, Reply, until


@pytest.fixture(scope="module", autouse=True)
def listening(box: Box) -> Iterator[None]:
    """The socket is open, and the service has not been asked for."""
    box.systemctl("stop", "whisperd.service")
    box.systemctl("enable", "--now", "whisperd.socket")
    yield
    box.systemctl("disable", "--now", "whisperd.socket")


def test_the_first_request_starts_the_service_and_is_answered(box: Box) -> None:
    assert box.show("ActiveState") == "inactive"
    assert box.post("/transcribe", conversation(), language="en").status == 200
    assert box.show("ActiveState") == "active"


def test_no_connection_is_refused_during_a_restart(box: Box) -> None:
    until(lambda: box.get("/health/ready").status == 200, "readiness")
    before = box.main_pid()
    box.systemctl("restart", "--no-block", "whisperd.service")
    replies: list[Reply] = []
    while not (box.main_pid() not in (0, before) and box.show("ActiveState") == "active"):
        replies.append(box.get("/health/live"))
    replies.append(box.get("/health/live"))
    assert {reply.status for reply in replies} == {200}


def test_after_a_reboot_the_socket_and_the_service_are_there(box: Box) -> None:
    box.reboot()
    assert box.show("ActiveState", "whisperd.socket") == "active"
    assert box.show("ActiveState") == "active"
    assert box.get("/health/ready").status == 200
