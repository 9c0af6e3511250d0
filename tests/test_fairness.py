"""Whose turn it is."""

from whisperd.fairness import FairQueue, Work, may_begin, may_have
from whisperd.transcript.model import Priority


def waiting(*asked: tuple[str, float], priority: Priority = "high") -> FairQueue:
    """Clients, and the seconds that each asks for, in the order of their coming."""
    queue = FairQueue()
    for client, seconds in asked:
        work = Work(seconds, client, priority)
        queue.register(work)
        queue.enter(work)
    return queue


def order(queue: FairQueue) -> list[tuple[str, float]]:
    return [(work.client, work.seconds) for work in queue]


def test_one_client_is_served_in_the_order_of_coming() -> None:
    assert order(waiting(("ann", 5), ("ann", 1), ("ann", 3))) == [("ann", 5), ("ann", 1), ("ann", 3)]


def test_who_asks_for_little_does_not_wait_for_all_that_another_asked_for_before() -> None:
    queue = waiting(("ann", 600), ("ann", 600), ("ann", 600), ("bob", 3), ("bob", 3))
    assert order(queue) == [("ann", 600), ("bob", 3), ("bob", 3), ("ann", 600), ("ann", 600)]


def test_two_who_ask_for_much_get_as_much_of_audio_each() -> None:
    queue = waiting(*[("ann", 100.0)] * 4, *[("bob", 200.0)] * 2)
    assert "".join(client[0] for client, _ in order(queue)) == "abaaba"


def test_what_was_taken_without_waiting_counts_too() -> None:
    queue = FairQueue()
    for _ in range(3):
        work = Work(60, "ann")
        queue.register(work)
        queue.enter(work)
        queue.take(work)
    for client in ("ann", "bob"):
        work = Work(60, client)
        queue.register(work)
        queue.enter(work)
    assert order(queue) == [("bob", 60), ("ann", 60)]


def test_who_was_away_saves_up_nothing() -> None:
    queue = waiting(*[("ann", 10.0)] * 50)
    for work in queue:
        queue.take(work)
    late = [Work(10, "bob") for _ in range(3)]
    for work in (*late[:2], Work(10, "ann"), late[2]):
        queue.register(work)
        queue.enter(work)
    assert [client for client, _ in order(queue)] == ["bob", "bob", "ann", "bob"]


def test_what_somebody_waits_for_goes_first_whoever_asks() -> None:
    queue = waiting(("ann", 1), priority="normal")
    work = Work(1000, "ann", "high")
    queue.register(work)
    queue.enter(work)
    assert order(queue) == [("ann", 1000), ("ann", 1)]
    assert queue.ahead_s("bob", "high") == 0
    assert queue.ahead_s("ann", "high") == 1000
    assert queue.ahead_s("bob", "low") == 1001


def test_clocks_are_kept_of_so_many_clients_alone() -> None:
    queue = FairQueue()
    for number in range(5000):
        queue.register(Work(1, str(number)))
    assert len(queue._clocks) == 1024


def test_half_of_the_slots_are_for_what_nobody_waits_for() -> None:
    jobs = [Work(60, f"job {number}", "normal") for number in range(4)]
    assert may_begin(Work(60, "ann", "low"), jobs[:3], 8)
    assert not may_begin(Work(60, "ann", "low"), jobs, 8)
    assert may_begin(Work(60, "ann", "high"), jobs, 8)
    assert may_begin(Work(60, "ann", "low"), [], 1)


def test_no_client_has_all_slots() -> None:
    mine = [Work(60, "ann") for _ in range(26)]
    assert not may_begin(Work(60, "ann"), mine, 32)
    assert may_begin(Work(60, "bob"), mine, 32)
    assert not may_begin(Work(60, "bob"), mine, 26)


def test_the_more_is_free_the_more_one_client_may_have() -> None:
    assert may_have(0, 1)
    assert may_have(76, 20)
    assert not may_have(77, 19)
    assert not may_have(0, 0)
