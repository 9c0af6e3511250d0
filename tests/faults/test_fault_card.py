"""A card that fails: its worker is started again, and nothing is done elsewhere in silence.

The card is the CPU here, and CUDA's words are put into its mouth.
"""

import concurrent.futures

from faults.victim import (
    Victim,
    answered,
    ask,
    readiness,
    refused,
    until_ready,
    until_status,
    until_unready,
)

NO_CARD = "could not load: RuntimeError: CUDA failed with error no CUDA-capable device is detected"


def test_after_an_error_of_cuda_a_new_process_takes_the_card_and_answers(victim: Victim) -> None:
    victim.order("lose-card")
    before = victim.worker().pid
    assert answered(ask(victim))
    assert victim.worker().pid != before
    assert "lost its device: CUDA failed with error unspecified launch failure; starting" in victim.log()
    assert victim.restarts() == 0


def test_a_recording_at_which_the_card_fails_twice_is_refused_for_now(victim: Victim) -> None:
    with victim.ordered("lose-card"):
        assert refused(ask(victim)) == (503, "device_lost")
    assert victim.errors() == ["device_lost"]
    until_ready(victim)
    assert answered(ask(victim))
    assert victim.restarts() == 0


def test_while_the_card_is_away_nothing_is_ready_and_when_it_is_back_all_goes_on(victim: Victim) -> None:
    victim.order("lose-card")
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        with victim.ordered("no-card", at="load"):
            caught = thread.submit(ask, victim)
            until_unready(victim, NO_CARD)
            assert refused(ask(victim)) == (503, "not_ready")
            health = victim.health()
            assert health["status"] == "degraded"
            assert NO_CARD in health["reason"]
            until_status(victim, "Not ready")
            assert victim.box.show("ActiveState") == "active"
        until_ready(victim)
        assert answered(caught.result())
    assert readiness(victim) == (200, None)
    assert NO_CARD in victim.log()
    assert victim.restarts() == 0
