"""What a worker is told before it begins a group."""

from __future__ import annotations

from autopipe_batch.work import Outcome
from autopipe_ray.ledger import Entry, Ledger


def test_a_group_is_begun_once() -> None:
    ledger = Ledger(1)
    assert ledger.begin(3, "a") == Entry("begin")
    assert ledger.begin(3, "b") == Entry("died", "a")
    assert ledger.begin(4, "b") == Entry("begin")


def test_outcomes_that_got_lost_are_told_again() -> None:
    ledger, outcomes = Ledger(1), (Outcome(id="x", state="done"),)
    ledger.begin(3, "a")
    ledger.finish(3, outcomes)
    assert ledger.begin(3, "b") == Entry("finished", outcomes=outcomes)


def test_nothing_begins_after_the_stop_and_deaths_are_still_told() -> None:
    ledger = Ledger(1)
    ledger.begin(3, "a")
    assert ledger.stop() == {3}
    assert ledger.begin(4, "a") == Entry("stop")
    assert ledger.begin(3, "b") == Entry("died", "a")


def test_not_too_many_workers_end_in_the_making() -> None:
    ledger = Ledger(2)
    for _ in range(10):
        assert ledger.make()
        ledger.made()
    assert [ledger.make() for _ in range(3)] == [True, True, False]
