"""A machine whose disk is full: the installed service refuses what needs room, and stays."""

import pytest
from recordings import conversation
from torture.disk import empty, fill

from boxes.box import Box, until


@pytest.fixture
def full(box: Box) -> Box:
    until(lambda: box.get("/health/ready").status == 200, "readiness")
    fill(box.layer.parent)
    return box


def test_a_full_disk_costs_those_who_need_room_and_nothing_else(full: Box) -> None:
    main = full.main_pid()
    refused = full.post("/transcribe", conversation(), language="en")
    assert refused.status == 503, refused.body
    assert full.get("/health/ready").status == 200
    empty(full.layer.parent)
    assert full.post("/transcribe", conversation(), language="en").status == 200
    assert full.main_pid() == main
    assert full.show("NRestarts") == "0"
    assert "Traceback" not in full.messages()
