"""A run: what it gives to a runner, what it writes, and how it ends."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from autopipe.errors import ArgumentError, CheckpointError
from autopipe.registry import default_registry
from autopipe_batch import batch as batches
from autopipe_batch.batch import STOPPED, Batch, Options
from autopipe_batch.drawing import Draw
from autopipe_batch.history import read_history
from autopipe_batch.jobs import Line
from autopipe_batch.plan import Plan
from autopipe_batch.ranks import Rank
from autopipe_batch.sheet import axes_of, layout
from autopipe_batch.work import Group, Outcome
from autopipe_requests.request import Checkpoint, Request


def plan_of(*seeds: int) -> Plan:
    found = Plan()
    for seed in seeds:
        request = Request(checkpoint=Checkpoint(name="demo:stable_diffusion"), seed=seed)
        found.cells.append(request.id)
        found.requests[request.id] = request.model_dump_json(exclude_defaults=True).encode()
    return found


class Workshop:
    """A runner that writes small pictures itself, in an order of its own.

    Attributes:
        outcomes: what becomes of a job instead, by seed.
        seen: the keywords of each call.
        done: the seeds that were drawn.
    """

    def __init__(self) -> None:
        self.outcomes: dict[int, list[dict[str, Any]]] = {}
        self.seen: list[dict[str, Any]] = []
        self.done: list[int] = []
        self.closed = 0
        self.before: Callable[[int], object] = lambda seed: None

    def __call__(self, groups: Sequence[Group], make: Draw, **how: Any) -> Iterator[Outcome]:
        self.seen.append({**how, "make": make, "groups": groups})
        try:
            for group in reversed(groups):
                if how["stopping"]():
                    return
                for job in group:
                    yield from self._do(job.id, job.request.seed, make)
        finally:
            self.closed += 1

    def _do(self, id: str, seed: int, make: Draw) -> Iterator[Outcome]:
        self.before(seed)
        for given in self.outcomes.get(seed, [{"state": "done"}]):
            if given["state"] == "done":
                self.done.append(seed)
                file = Path(make.folder, f"{id}.png")
                PIL.Image.new("RGB", (8, 8), (seed % 256, 0, 0)).save(file)
                sha = hashlib.sha256(file.read_bytes()).hexdigest()
                yield Outcome(id=id, state="done", file=file.name, sha256=sha)
            else:
                yield Outcome(id=id, **given)


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop()
    monkeypatch.setattr(batches, "load_target", lambda target: made)
    monkeypatch.setattr(batches, "workers_for", lambda *given: 4)
    monkeypatch.setattr(batches, "cores", lambda: 8)
    return made


def run(folder: Path, plan: Plan, rank: Rank = Rank(), **options: Any) -> Batch:  # noqa: B008
    made = Batch(plan, Options(folder=folder, **options), rank, default_registry())
    made.code = made.draw()  # type: ignore[attr-defined]
    return made


def files(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir() if not one.name.endswith(".lock")}


def test_everything_is_drawn_once(tmp_path: Path, workshop: Workshop) -> None:
    plan = plan_of(1, 2, 3)
    first = run(tmp_path, plan)
    assert (first.code, first.summary.drawn, first.summary.found) == (0, 3, 0)
    assert files(tmp_path) == {*(f"{one}.png" for one in plan.requests), "manifest.jsonl"}
    again = run(tmp_path, plan)
    assert (again.code, again.summary.drawn, again.summary.found) == (0, 0, 3)
    assert len(workshop.seen) == 1


def test_a_change_is_drawn_again_and_told(
    tmp_path: Path, workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(1, 2, 3)
    run(tmp_path, plan)
    one, two, _ = plan.requests
    (tmp_path / f"{one}.png").unlink()
    (tmp_path / f"{two}.png").write_bytes(b"half")
    workshop.done.clear()
    found = run(tmp_path, plan)
    assert workshop.done == [2, 1]
    assert (found.summary.drawn, found.summary.found) == (2, 1)
    error = capsys.readouterr().err
    assert f"{one}.png is missing" in error
    assert f"{two}.png has changed" in error


def test_a_preview_writes_nothing(tmp_path: Path, workshop: Workshop) -> None:
    plan = plan_of(1, 2)
    run(tmp_path, plan_of(1))
    before = files(tmp_path)
    made = Batch(plan, Options(folder=tmp_path), Rank(), default_registry())
    assert (made.preview().found, made.summary.left) == (1, 1)
    assert files(tmp_path) == before
    elsewhere = Batch(plan, Options(folder=tmp_path / "new"), Rank(), default_registry())
    assert elsewhere.preview().left == 2
    assert not (tmp_path / "new").exists()


def test_failures_are_written_told_and_tried_again(
    tmp_path: Path, workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop.outcomes[2] = [{"state": "failed", "error": "no room"}]
    found = run(tmp_path, plan_of(1, 2, 3))
    assert (found.code, list(found.summary.failed.values())) == (1, ["no room"])
    assert "failed: no room" in capsys.readouterr().err
    workshop.outcomes.clear()
    assert run(tmp_path, plan_of(1, 2, 3)).code == 0
    assert sorted(workshop.done) == [1, 2, 3]
    attempts = {e.id: e.attempts for e in read_history(tmp_path).entries.values()}
    assert sorted(attempts.values()) == [1, 1, 2]


def test_a_job_that_kills_workers_is_set_aside(tmp_path: Path, workshop: Workshop) -> None:
    workshop.outcomes[2] = [
        {"state": "died", "error": "killed"},
        {"state": "set aside", "error": "it kills"},
    ]
    plan = plan_of(1, 2, 3)
    found = run(tmp_path, plan)
    assert (found.code, list(found.summary.aside.values())) == (1, ["it kills"])
    again = run(tmp_path, plan)
    assert (again.code, list(again.summary.aside.values())) == (1, ["it kills"])
    assert len(workshop.seen) == 1
    workshop.outcomes.clear()
    assert run(tmp_path, plan, retry=True).code == 0
    assert workshop.seen[-1]["groups"][0][0].deaths == 0


def test_deaths_of_earlier_runs_are_known(tmp_path: Path, workshop: Workshop) -> None:
    workshop.outcomes[1] = [{"state": "died", "error": "killed"}]
    run(tmp_path, plan_of(1, 2))
    workshop.outcomes.clear()
    run(tmp_path, plan_of(1, 2), batch_size=8)
    assert [[job.deaths for job in group] for group in workshop.seen[-1]["groups"]] == [[1]]


def test_a_full_disk_is_said_in_a_sentence(tmp_path: Path, workshop: Workshop) -> None:
    workshop.outcomes[1] = [{"state": "failed", "fatal": True, "error": "the disk is full"}]
    with pytest.raises(CheckpointError, match="the disk is full"):
        run(tmp_path, plan_of(1, 2))
    assert [entry.state for entry in read_history(tmp_path).entries.values()] == ["done"]
    workshop.outcomes.clear()
    assert run(tmp_path, plan_of(1, 2)).summary.drawn == 1


def test_a_manifest_that_cannot_be_written_ends_the_run(
    tmp_path: Path, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def full(number: int) -> None:
        if workshop.done:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(number)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=f"the disk of '{tmp_path}' is full.*same command"):
        run(tmp_path, plan_of(1, 2))
    assert workshop.closed == 1


def test_ctrl_c_finishes_what_is_being_drawn(
    tmp_path: Path, workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seed: int) -> None:
        if seed == 3:
            os.kill(os.getpid(), signal.SIGINT)

    workshop.before = interrupt
    found = run(tmp_path, plan_of(1, 2, 3, 4))
    assert (found.code, workshop.done, found.summary.left) == (STOPPED, [4, 3], 2)
    assert "press Ctrl-C again" in capsys.readouterr().err
    workshop.before = lambda seed: None
    assert run(tmp_path, plan_of(1, 2, 3, 4)).summary.drawn == 2


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, workshop: Workshop) -> None:
    def interrupt(seed: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    workshop.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, plan_of(1, 2))
    assert workshop.closed == 1
    assert files(tmp_path) == {"manifest.jsonl"}


def test_threads_do_not_depend_on_the_number_of_workers(tmp_path: Path, workshop: Workshop) -> None:
    for number, workers in enumerate((None, 1, 16)):
        run(tmp_path / str(workers), plan_of(number), workers=workers)
    assert [(one["workers"] or len(one["devices"]), one["threads"]) for one in workshop.seen] == [
        (4, 2),
        (1, 2),
        (16, 2),
    ]


def test_a_folder_in_which_nothing_was_drawn_has_no_threads(
    tmp_path: Path, workshop: Workshop
) -> None:
    nothing = Plan(wrong=[Line(1, None, "no JSON")])
    run(tmp_path, nothing)
    assert read_history(tmp_path).threads is None
    run(tmp_path, plan_of(1), threads=5)
    assert workshop.seen[0]["threads"] == 5


def test_a_folder_keeps_its_threads(tmp_path: Path, workshop: Workshop) -> None:
    run(tmp_path, plan_of(1), threads=3)
    run(tmp_path, plan_of(2))
    run(tmp_path, plan_of(3), threads=3)
    assert [one["threads"] for one in workshop.seen] == [3, 3, 3]
    with pytest.raises(ArgumentError, match="was begun with --threads 3"):
        run(tmp_path, plan_of(4), threads=2)


def test_programs_that_draw_parts_are_one_together(tmp_path: Path, workshop: Workshop) -> None:
    plan = plan_of(*range(7))
    for number in range(3):
        run(tmp_path, plan, Rank(number, 3, number, 3))
    assert sorted(workshop.done) == list(range(7))
    manifests = {f"manifest-{i}-of-3.jsonl" for i in (1, 2, 3)}
    assert files(tmp_path) == {*(f"{one}.png" for one in plan.requests), *manifests}
    assert {(one["workers"] or len(one["devices"]), one["threads"]) for one in workshop.seen} == {
        (1, 2)
    }
    assert run(tmp_path, plan).summary.found == 7


def test_a_failure_in_one_program_does_not_end_the_others(
    tmp_path: Path, workshop: Workshop
) -> None:
    workshop.outcomes[0] = [{"state": "failed", "error": "no"}]
    found = run(tmp_path, plan_of(0, 1), Rank(0, 2))
    assert (found.code, found.summary.code) == (0, 1)


def test_wrong_lines_are_kept_in_the_manifest(tmp_path: Path, workshop: Workshop) -> None:
    plan = plan_of(1)
    plan.wrong.append(Line(2, None, "no JSON"))
    assert [run(tmp_path, plan).code for _ in range(2)] == [1, 1]
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [one["error"] for one in lines if "line" in one] == ["no JSON"]


def test_a_device_that_is_not_there(tmp_path: Path, workshop: Workshop) -> None:
    with pytest.raises(ArgumentError, match="--devices"):
        run(tmp_path, plan_of(1), devices=("gpu:0",))
    run(tmp_path, plan_of(1), devices=("cpu", "cpu"))
    assert workshop.seen[0]["devices"] == ["cpu", "cpu"]


def test_the_sheet_shows_what_is_done(
    tmp_path: Path, workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    axes = axes_of(["a hut"], {"a": (1, 2), "b": (3, 4)}, 1, 4)
    where = layout(axes, {})
    plan = plan_of(10, 60, 110, 160)
    workshop.outcomes[110] = [{"state": "failed", "error": "no"}]
    made = run(tmp_path, plan)
    made.add_sheet(where)
    sheet = tmp_path / "sheet.png"
    assert made.summary.sheet == sheet

    def colors() -> set[int]:
        with PIL.Image.open(sheet) as image:
            return {c[0] for _, c in image.getcolors(1 << 20) or () if c[1:] == (0, 0)}

    assert colors() == {10, 60, 160}
    workshop.outcomes.clear()
    run(tmp_path, plan).add_sheet(where)
    assert colors() == {10, 60, 110, 160}
    time = sheet.stat().st_mtime_ns
    run(tmp_path, plan).add_sheet(where)
    assert sheet.stat().st_mtime_ns == time
    run(tmp_path, plan).add_sheet(layout(axes, {"rows": "b"}))
    assert sheet.stat().st_mtime_ns != time
    PIL.Image.new("RGB", (1, 1)).save(sheet)
    capsys.readouterr()
    run(tmp_path, plan).add_sheet(where)
    assert "is not a contact sheet, so it stays" in capsys.readouterr().err
    assert PIL.Image.open(sheet).size == (1, 1)
