"""Jobs on a cluster of one machine: done, failed, killed, stopped. They write files, no pictures.

`plugins/ray/tests/test_pictures.py` draws.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray

from autopipe.errors import AutopipeError
from autopipe_batch.work import Do, Group, Job, Outcome
from autopipe_ray.runner import run
from autopipe_requests.request import Checkpoint, Request

pytestmark = pytest.mark.usefixtures("here")

# Workers can't import this module.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Notes:
    """Makes what notes each attempt of a job, and does what its prompt says.

    `kill` ends the worker, `kill once` only the first time, `raise` raises, `fail` fails, `full`
    fails as on a full disk, and `sleep` waits for half a second.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, device: str | None, threads: int) -> Do:
        note(self.folder / "workers", f"{os.getpid()} {device} {threads}")
        return self.do

    def do(self, group: Group) -> list[Outcome]:
        return [self.one(job, job.request.arguments["prompt"]) for job in group]

    def one(self, job: Job, prompt: Any) -> Outcome:
        attempts = self.folder / f"{job.id}.attempts"
        note(attempts, str(os.getpid()))
        if prompt == "kill" or (prompt == "kill once" and len(lines(attempts)) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if prompt == "raise":
            raise ZeroDivisionError("a toy")
        if prompt in ("fail", "full"):
            return Outcome(id=job.id, state="failed", error=prompt, fatal=prompt == "full")
        if prompt == "sleep":
            time.sleep(0.5)
        return Outcome(id=job.id, state="done", file=f"{job.request.seed}.txt")


class Lost(Notes):
    """Makes nothing."""

    def __init__(self, folder: Path, error: str) -> None:
        super().__init__(folder)
        self.error = error

    def __call__(self, device: str | None, threads: int) -> Do:
        note(self.folder / "workers", str(os.getpid()))
        if self.error:
            raise AutopipeError(self.error)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


def note(file: Path, line: str) -> None:
    with file.open("a") as there:
        there.write(f"{line}\n")


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def jobs(*prompts: str) -> tuple[Job, ...]:
    requests = [
        Request(checkpoint=Checkpoint(name="toy"), arguments={"prompt": prompt}, seed=seed)
        for seed, prompt in enumerate(prompts)
    ]
    return tuple(Job(id=request.id, request=request) for request in requests)


def begin(
    groups: Sequence[Group],
    make: Notes,
    workers: int | None = 2,
    devices: Sequence[str | None] = (None,),
    threads: int = 1,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    return run(groups, make, workers=workers, devices=devices, threads=threads, stopping=stopping)


def attempts(folder: Path, job: Job) -> int:
    return len(lines(folder / f"{job.id}.attempts"))


def test_each_job_is_done_once_and_by_any_of_the_workers(tmp_path: Path) -> None:
    some = jobs(*["sleep"] * 6)
    outcomes = list(begin([some[:2], *((job,) for job in some[2:])], Notes(tmp_path)))
    assert Counter(one.id for one in outcomes) == Counter(job.id for job in some)
    assert {one.state for one in outcomes} == {"done"}
    assert {one.file for one in outcomes} == {f"{seed}.txt" for seed in range(6)}
    assert all(attempts(tmp_path, job) == 1 for job in some)
    workers = [line.split() for line in lines(tmp_path / "workers")]
    assert [words[1:] for words in workers] == [["None", "1"]] * 2
    assert len({one.worker for one in outcomes}) == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "workers", *(f"{job.id}.attempts" for job in some)
    }  # fmt: skip


def test_what_kills_its_worker_is_tried_again_and_set_aside(tmp_path: Path) -> None:
    some = jobs("kill", "", "kill once", "raise", "", "fail", "", "")
    killing, _, once, raising, *others = some
    outcomes = list(begin([(job,) for job in some], Notes(tmp_path)))

    def states(job: Job) -> list[str]:
        return [one.state for one in outcomes if one.id == job.id]

    assert states(killing) == ["died", "set aside"]
    assert states(once) == ["died", "done"]
    assert states(raising) == ["failed"]
    assert [states(job) for job in others] == [["done"], ["failed"], ["done"], ["done"]]
    assert [attempts(tmp_path, job) for job in some] == [2, 1, 2, 1, 1, 1, 1, 1]
    (error,) = (one.error for one in outcomes if one.state == "set aside")
    assert error is not None
    assert "2 workers" in error
    assert {one.error for one in outcomes if one.id == raising.id} == {"ZeroDivisionError: a toy"}


def test_a_group_that_kills_its_worker_is_taken_apart(tmp_path: Path) -> None:
    killing, other, third = jobs("kill", "", "")
    outcomes = list(begin([(third,), (other, killing)], Notes(tmp_path)))
    found = [(one.id, one.state) for one in outcomes]
    assert sorted(found) == sorted(
        [
            (third.id, "done"), (other.id, "died"), (killing.id, "died"), (other.id, "done"),
            (killing.id, "set aside"),
        ]
    )  # fmt: skip


def test_after_a_stop_nothing_begins_and_what_has_begun_is_finished(tmp_path: Path) -> None:
    some = jobs(*["sleep"] * 200)
    stop: list[bool] = []
    running = begin([(job,) for job in some], Notes(tmp_path), stopping=lambda: bool(stop))
    outcomes = [next(running)]
    stop.append(True)
    outcomes += running
    begun = [path.stem for path in tmp_path.glob("*.attempts")]
    assert sorted(one.id for one in outcomes) == sorted(begun)
    assert len(begun) < len(some)


def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    some = jobs("full", *["sleep"] * 200)
    outcomes = list(begin([(job,) for job in some], Notes(tmp_path)))
    assert any(one.fatal for one in outcomes)
    assert len(outcomes) < len(some)


@pytest.mark.parametrize("error", ["no such model", ""])
def test_workers_that_cannot_be_made_end_the_run(error: str, tmp_path: Path) -> None:
    some = jobs(*["sleep"] * 20)
    with pytest.raises(AutopipeError, match=error or "end again and again"):
        list(begin([(job,) for job in some], Lost(tmp_path, error)))
    assert len(lines(tmp_path / "workers")) <= 5


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    make = Notes(tmp_path)
    with pytest.raises(AutopipeError, match="one kind"):
        list(begin([jobs("")], make, devices=["cuda:0", "cpu"]))
    with pytest.raises(AutopipeError, match=r"30 workers with 1 threads.* room for 2"):
        list(begin([jobs("")], make, workers=30))
    with pytest.raises(AutopipeError, match="workers with 1 threads and a GPU"):
        list(begin([jobs("")], make, workers=None, devices=["cuda"]))
    with pytest.raises(AutopipeError, match="can be written"):
        list(begin([jobs("")], Notes(tmp_path / "absent")))
    assert list(begin([], make)) == []
