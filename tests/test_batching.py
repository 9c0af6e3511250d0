"""Whose turn it is, and what shares a batch."""

import threading
from dataclasses import dataclass

from whisperd.engine.batching import BatchQueue, Line


@dataclass
class Work:
    """A letter for the request, and what it can share a batch with."""

    name: str
    key: int = 0


def queue(size: int = 2) -> BatchQueue[Work]:
    return BatchQueue(size)


def line(of: BatchQueue[Work], names: str, key: int = 0, rank: int = 0) -> Line[Work]:
    entered = of.enter(rank)
    of.put(entered, *(Work(name, key) for name in names.split()))
    return entered


def taken(of: BatchQueue[Work]) -> str:
    return " ".join(work.name for work in of.take() or ())


def test_a_request_has_whole_batches_when_it_is_alone() -> None:
    batches = queue(3)
    line(batches, "a1 a2 a3 a4")
    assert [taken(batches), taken(batches)] == ["a1 a2 a3", "a4"]


def test_works_of_several_requests_share_a_batch() -> None:
    batches = queue(4)
    line(batches, "a1 a2 a3")
    line(batches, "b1")
    line(batches, "c1 c2")
    assert taken(batches) == "a1 b1 c1 a2"
    assert taken(batches) == "c2 a3"


def test_what_is_left_is_shared_by_all_who_take() -> None:
    batches: BatchQueue[Work] = BatchQueue(4, takers=2)
    line(batches, "a1 a2 a3 a4 a5 a6 a7")
    assert [taken(batches), taken(batches), taken(batches)] == ["a1 a2 a3 a4", "a5 a6", "a7"]


def test_several_requests_fill_a_batch_though_others_take() -> None:
    batches: BatchQueue[Work] = BatchQueue(4, takers=2)
    for name in "abcde":
        line(batches, name)
    line(batches, "f1 f2 f3")
    assert [taken(batches), taken(batches), taken(batches)] == ["a b c d", "e f1 f2", "f3"]


def test_only_equals_share_a_batch() -> None:
    batches = queue(4)
    line(batches, "a1 a2", key=1)
    line(batches, "b1", key=2)
    line(batches, "c1", key=1)
    assert taken(batches) == "a1 c1 a2"
    assert taken(batches) == "b1"


def test_a_request_keeps_its_order_whatever_others_could_share() -> None:
    batches = queue(4)
    first = line(batches, "a1", key=1)
    batches.put(first, Work("a2", 2), Work("a3", 1))
    line(batches, "b1", key=1)
    assert [taken(batches), taken(batches), taken(batches)] == ["a1 b1", "a2", "a3"]


def test_who_comes_behind_a_long_recording_waits_for_one_batch_at_most() -> None:
    batches = queue()
    line(batches, " ".join(f"a{number}" for number in range(100)))
    assert taken(batches) == "a0 a1"
    line(batches, "b1", key=1)
    assert "b1" in [taken(batches), taken(batches)]


def test_a_long_recording_gets_on_however_many_short_ones_come() -> None:
    batches = queue()
    line(batches, " ".join(f"a{number}" for number in range(100)))
    taken(batches)
    order = []
    for number in range(6):
        line(batches, f"b{number}", key=1)
        line(batches, f"c{number}", key=2)
        order.append(taken(batches)[0])
    assert order.count("a") == 3


def test_the_lower_rank_goes_first_and_the_higher_takes_what_it_leaves() -> None:
    batches = queue(4)
    line(batches, "a1 a2", rank=2)
    line(batches, "b1 b2 b3", rank=1)
    line(batches, "c1", rank=0)
    line(batches, "d1", key=1, rank=1)
    assert [taken(batches), taken(batches), taken(batches)] == ["c1 b1 b2 b3", "d1", "a1 a2"]


def test_what_is_tried_again_comes_before_the_rest_of_its_request() -> None:
    batches = queue()
    first = line(batches, "a1 a2 a3 a4")
    assert taken(batches) == "a1 a2"
    batches.put_first(first, Work("a1 again"), Work("a2 again"))
    assert taken(batches) == "a1 again a2 again"


def test_a_request_that_leaves_has_nothing_more_in_the_queue() -> None:
    batches = queue()
    leaving = line(batches, "a1 a2 a3")
    taken(batches)
    batches.leave(leaving)
    batches.put(leaving, Work("a4"))
    batches.put_first(leaving, Work("a1 again"))
    line(batches, "b1")
    assert taken(batches) == "b1"


def test_an_empty_queue_is_waited_at_until_something_comes_or_it_closes() -> None:
    batches = queue()
    taken_late: list[list[Work]] = []

    def serve() -> None:
        while batch := batches.take():
            taken_late.append(batch)

    serving = threading.Thread(target=serve)
    serving.start()
    line(batches, "a1")
    batches.close()
    serving.join(10)
    assert not serving.is_alive()
    assert all(batch[0].name == "a1" for batch in taken_late)


def test_who_has_waited_long_enough_for_a_batch_is_told_so() -> None:
    assert queue().take(patience_s=0.01) is None
