"""Jobs on a cluster of one machine: done, failed, killed, stopped. They draw nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import ray
import support.workers
from support.workers import Follow, job, jobs, noted

from autopipe.errors import AutopipeError
from autopipe_batch.work import Group, Outcome
from autopipe_ray.runner import run

pytestmark = pytest.mark.usefixtures("here")

# Workers can't import this module.
ray.cloudpickle.register_pickle_by_value(support.workers)


def begin(
    groups: Sequence[Group],
    make: Follow,
    workers: int | None = 2,
    devices: Sequence[str | None] = (None,),
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    return run(groups, make, workers=workers, devices=devices, threads=1, stopping=stopping)


def states(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    return sorted((one.id, one.state) for one in outcomes)


def begun(folder: Path) -> list[str]:
    """The prompts of all attempts."""
    return sorted(line.partition(" ")[2] for line in noted(folder, "begun"))


def test_each_job_is_done_once_and_by_any_of_the_workers(tmp_path: Path) -> None:
    # Each of the first two waits for the other one, so two workers have them at the same time.
    pair = jobs("a tell:a wait:b", "b tell:b wait:a")
    outcomes = list(begin([*pair, (job("c"), job("d")), *jobs("e", "f")], Follow(tmp_path)))
    prompts = sorted(["a tell:a wait:b", "b tell:b wait:a", "c", "d", "e", "f"])
    assert states(outcomes) == [(prompt, "done") for prompt in prompts]
    assert begun(tmp_path) == prompts
    made = [line.split() for line in noted(tmp_path, "made")]
    assert [words[1:] for words in made] == [["None", "1"]] * 2
    assert {one.file for one in outcomes} == {words[0] for words in made}
    assert {one.worker.split()[1] for one in outcomes} == {words[0] for words in made}
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "begun", "made"}


def test_what_kills_its_worker_is_tried_again_and_set_aside(tmp_path: Path) -> None:
    groups = jobs("kill", "b", "once:seen", "raise", "c", "d", "e")
    outcomes = list(begin(groups, Follow(tmp_path)))
    assert states(outcomes) == [
        ("b", "done"), ("c", "done"), ("d", "done"), ("e", "done"), ("kill", "died"),
        ("kill", "set aside"), ("once:seen", "died"), ("once:seen", "done"), ("raise", "failed"),
    ]  # fmt: skip
    assert begun(tmp_path) == sorted(
        ["kill", "kill", "b", "once:seen", "once:seen", "raise", "c", "d", "e"]
    )
    errors = {one.state: str(one.error) for one in outcomes}
    assert errors["failed"].startswith("ZeroDivisionError")
    assert errors["set aside"].startswith("2 workers died of it")


def test_an_earlier_death_counts(tmp_path: Path) -> None:
    outcomes = list(begin([(job("kill", deaths=1),)], Follow(tmp_path)))
    assert states(outcomes) == [("kill", "set aside")]


def test_a_group_that_kills_its_worker_is_taken_apart(tmp_path: Path) -> None:
    outcomes = list(begin([(job("a"), job("kill", deaths=1))], Follow(tmp_path)))
    assert states(outcomes) == [
        ("a", "died"), ("a", "done"), ("kill", "died"), ("kill", "set aside")
    ]  # fmt: skip


def test_after_a_stop_nothing_begins_and_what_has_begun_is_finished(tmp_path: Path) -> None:
    groups = jobs(*(f"{number}" for number in range(500)))
    stop = threading.Event()
    outcomes = []
    for outcome in begin(groups, Follow(tmp_path), stopping=stop.is_set):
        outcomes.append(outcome)
        stop.set()
    assert sorted(one.id for one in outcomes) == begun(tmp_path)
    assert len(outcomes) < len(groups)


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    groups = jobs("full", *(f"{number}" for number in range(500)))
    outcomes = list(begin(groups, Follow(tmp_path)))
    assert [one.id for one in outcomes if one.fatal] == ["full"]
    assert sorted(one.id for one in outcomes) == begun(tmp_path)
    assert len(outcomes) < len(groups)


@pytest.mark.parametrize(("start", "error"), [("raise", "ZeroDivision"), ("kill", "end again")])
def test_workers_that_cannot_be_made_end_the_run(start: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(AutopipeError, match=error):
        list(begin(jobs("a", "b", "c", "d"), Follow(tmp_path, start)))
    assert 1 <= len(noted(tmp_path, "made")) <= 5
    assert begun(tmp_path) == []


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    make = Follow(tmp_path)
    with pytest.raises(AutopipeError, match="one kind"):
        list(begin(jobs("a"), make, devices=["cuda:0", "cpu"]))
    with pytest.raises(AutopipeError, match=r"30 workers with 1 threads.* room for 2"):
        list(begin(jobs("a"), make, workers=30))
    with pytest.raises(AutopipeError, match="workers with 1 threads and a GPU"):
        list(begin(jobs("a"), make, workers=None, devices=["cuda"]))
    with pytest.raises(AutopipeError, match="can be written"):
        list(begin(jobs("a"), Follow(tmp_path / "absent")))
    assert list(begin([], make)) == []
