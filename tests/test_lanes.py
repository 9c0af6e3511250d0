"""Lanes: order, how much runs at once, and what ends them."""

import threading
from collections.abc import Iterator

import pytest

from whisperd.engine.lanes import side_by_side

PATIENCE_S = 10


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_results_come_in_the_order_of_the_pieces(lanes: int) -> None:
    assert list(side_by_side(lambda piece: piece * 2, range(20), lanes)) == list(range(0, 40, 2))


def test_as_many_pieces_are_worked_on_at_once_as_there_are_lanes() -> None:
    meeting = threading.Barrier(3)

    def work(_: int) -> int:
        return meeting.wait(PATIENCE_S)

    assert sorted(side_by_side(work, range(6), 3)) == [0, 0, 1, 1, 2, 2]


def test_the_next_piece_waits_while_the_first_is_not_done() -> None:
    """The second lane may hurry ahead, but not so far that results pile up."""
    go = threading.Event()
    taken = []

    def pieces() -> Iterator[int]:
        for piece in range(100):
            taken.append(piece)
            if len(taken) == 3:
                go.set()
            yield piece

    def work(piece: int) -> int:
        if piece == 0:
            assert go.wait(PATIENCE_S)
        return piece

    results = side_by_side(work, pieces(), 2)
    assert next(results) == 0
    assert len(taken) == 3


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_failure_reaches_the_caller_and_ends_the_work(lanes: int) -> None:
    begun = []

    def work(piece: int) -> int:
        begun.append(piece)
        if piece == 3:
            raise MemoryError("full")
        return piece

    with pytest.raises(MemoryError, match="full"):
        list(side_by_side(work, range(1_000), lanes))
    assert max(begun) <= 3 + lanes


def test_who_stops_asking_leaves_no_lane_at_work() -> None:
    begun = []
    results = side_by_side(lambda piece: begun.append(piece), range(1_000), 2)
    next(results)
    results.close()
    count = len(begun)
    assert count <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lane")]
