"""The pool, with real processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.workers import Follow, job, jobs, noted

from autopipe.errors import ArgumentError
from autopipe_batch.local import run
from autopipe_batch.local.slot import MOST_STARTS
from autopipe_batch.work import Group, Outcome


@pytest.fixture
def make(tmp_path: Path) -> Follow:
    return Follow(tmp_path)


def running(
    groups: Sequence[Group], make: Any, *, workers: int | None = 1, **changed: Any
) -> Iterator[Outcome]:
    settings: dict[str, Any] = {"devices": [None], "threads": 1, "stopping": lambda: False}
    return run(groups, make, workers=workers, **{**settings, **changed})


def states(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    return [(one.id, one.state) for one in outcomes]


def begun(folder: Path) -> list[str]:
    """The jobs in the order in which they began."""
    return [line.partition(" ")[2] for line in noted(folder, "begun")]


def ended(process: int) -> bool:
    """Whether a process that this one started is over and waited for."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_one_worker_does_all_in_their_order(make: Follow) -> None:
    outcomes = list(running(jobs("a", "b", "c"), make))
    assert states(outcomes) == [("a", "done"), ("b", "done"), ("c", "done")]
    assert begun(make.folder) == ["a", "b", "c"]
    assert {one.worker for one in outcomes} == {"worker 1"}
    (process,) = {int(one.file or 0) for one in outcomes}
    assert process != os.getpid()
    assert ended(process)


def test_there_is_a_worker_for_each_device(make: Follow) -> None:
    groups = jobs("a tell:a wait:b", "b tell:b wait:a")
    outcomes = running(groups, make, workers=None, devices=["x:0", "x:1"], threads=3)
    assert {one.worker for one in outcomes} == {"worker 1 on x:0", "worker 2 on x:1"}
    assert {line.partition(" ")[2] for line in noted(make.folder, "made")} == {"x:0 3", "x:1 3"}


def test_no_more_workers_start_than_there_are_groups(make: Follow) -> None:
    assert list(running([], make, workers=3)) == []
    assert noted(make.folder, "made") == []
    assert len(list(running(jobs("a", "b"), make, workers=5))) == 2
    assert len(noted(make.folder, "made")) <= 2


def test_a_slow_job_delays_nobody(make: Follow) -> None:
    quick = jobs("b", "c", "d", "e", "f", "g tell:go")
    outcomes = list(running([*jobs("a wait:go"), *quick], make, workers=2))
    assert {state for _, state in states(outcomes)} == {"done"}
    assert len(outcomes) == 7


def test_a_job_whose_worker_was_killed_is_done_after_the_others(make: Follow) -> None:
    outcomes = list(running(jobs("a once:killed", "b", "c"), make))
    done = [("b", "done"), ("c", "done"), ("a once:killed", "done")]
    assert states(outcomes) == [("a once:killed", "died"), *done]
    assert "SIGKILL" in str(outcomes[0].error)
    assert begun(make.folder) == ["a once:killed", "b", "c", "a once:killed"]


@pytest.mark.parametrize(
    ("poison", "why"),
    [
        ("kill", "SIGKILL, probably because memory ran out"),
        ("exit", "exit code 3"),
        ("abort", "SIGABRT"),
        ("kill-halfway", "SIGKILL"),
    ],
)
def test_a_job_that_kills_two_workers_is_set_aside(make: Follow, poison: str, why: str) -> None:
    outcomes = list(running(jobs("a", poison, "b"), make))
    assert [state for id, state in states(outcomes) if id == poison] == ["died", "set aside"]
    assert ("a", "done") in states(outcomes)
    assert ("b", "done") in states(outcomes)
    assert len(outcomes) == 4
    assert all(why in str(one.error) for one in outcomes if one.id == poison)


def test_deaths_of_earlier_runs_count(make: Follow) -> None:
    outcomes = list(running([(job("kill", deaths=1),), *jobs("a")], make))
    assert sorted(states(outcomes)) == [("a", "done"), ("kill", "set aside")]
    assert begun(make.folder).count("kill") == 1


def test_the_jobs_of_a_group_are_tried_again_one_by_one(make: Follow) -> None:
    group = (job("a", deaths=1), job("kill"), job("b"))
    outcomes = list(running([group, *jobs("c")], make))
    assert [one for one in states(outcomes) if one[1] == "died"] == [
        ("a", "died"),
        ("kill", "died"),
        ("b", "died"),
    ]
    assert sorted(one for one in states(outcomes) if one[1] != "died") == [
        ("a", "done"),
        ("b", "done"),
        ("c", "done"),
        ("kill", "set aside"),
    ]


def test_an_exception_fails_its_job_alone(make: Follow) -> None:
    outcomes = list(running(jobs("raise", "a"), make))
    assert states(outcomes) == [("raise", "failed"), ("a", "done")]
    assert "ZeroDivisionError" in str(outcomes[0].error)
    assert len(noted(make.folder, "made")) == 1


def test_after_a_fatal_outcome_nothing_begins(make: Follow) -> None:
    outcomes = list(running(jobs("a wait:go", "tell:go full", "b", "c"), make, workers=2))
    assert ("tell:go full", "failed") in states(outcomes)
    assert ("a wait:go", "done") in states(outcomes)
    assert {"b", "c"}.isdisjoint(begun(make.folder))


def test_a_worker_that_cant_be_made_is_told_once(make: Follow) -> None:
    outcomes = list(running(jobs("a", "b", "c"), Follow(make.folder, "raise"), workers=2))
    (told,) = outcomes
    assert told.fatal
    assert told.state == "failed"
    assert "ZeroDivisionError" in str(told.error)
    assert len(noted(make.folder, "made")) <= 2


@pytest.mark.parametrize(("start", "why"), [("kill", "SIGKILL"), ("exit", "exit code 3")])
def test_workers_that_die_while_they_start_are_told(make: Follow, start: str, why: str) -> None:
    (told,) = running(jobs("a", "b"), Follow(make.folder, start))
    assert told.fatal
    assert why in str(told.error)
    assert "fewer workers" in str(told.error)
    assert len(noted(make.folder, "made")) == MOST_STARTS


def test_the_others_work_without_one_that_cant_start(
    make: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    def stopping() -> bool:
        if "worker 2 on bad" in caplog.text:
            (make.folder / "go").touch()
        return False

    bad = Follow(make.folder, "kill", only="bad")
    devices = ["good", "bad"]
    groups = jobs("a wait:go", "b", "c")
    outcomes = list(running(groups, bad, workers=2, devices=devices, stopping=stopping))
    assert states(outcomes) == [("a wait:go", "done"), ("b", "done"), ("c", "done")]
    assert len(noted(make.folder, "made")) == MOST_STARTS + 1


def test_stopping_finishes_what_is_in_flight(make: Follow) -> None:
    stop = make.folder / "stop"
    groups = jobs("a tell:stop", "b", "c")
    outcomes = list(running(groups, make, stopping=stop.exists))
    assert states(outcomes) == [("a tell:stop", "done")]
    assert begun(make.folder) == ["a tell:stop"]


def test_stopping_doesnt_wait_for_workers_that_start(make: Follow) -> None:
    make = Follow(make.folder, "sleep")
    assert list(running(jobs("a"), make, stopping=(make.folder / "made").exists)) == []


@pytest.mark.parametrize("words", ["sleep", "stay sleep"])
def test_closing_ends_workers_at_once(
    make: Follow, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autopipe_batch.local.slot.GRACE", 0.1)
    outcomes = running(jobs("a wait:b", f"b tell:b {words}"), make, workers=2)
    assert next(outcomes).id == "a wait:b"
    outcomes.close()  # type: ignore[attr-defined]
    assert all(ended(int(line.split()[0])) for line in noted(make.folder, "made"))


def test_what_a_worker_prints_doesnt_get_into_our_output(
    make: Follow, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(list(running(jobs("print"), make))) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "printed by a worker" in err


def test_a_job_may_start_processes(make: Follow) -> None:
    assert states(list(running(jobs("process"), make))) == [("process", "done")]


def test_a_function_that_cant_be_sent_is_refused(make: Follow) -> None:
    with pytest.raises(ArgumentError, match="can't be sent to workers"):
        next(running(jobs("a"), lambda device, threads: None))
