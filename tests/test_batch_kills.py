"""Batches whose processes are killed, whose jobs kill workers, and whose disk is full."""

from __future__ import annotations

import importlib
import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.dists import env, write_plugin

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

PLUGIN = """
import errno, os, signal
from pathlib import Path

from autopipe.attaching.attachment import Attachment
from autopipe.hooks import hookimpl
from autopipe.manifest import AddOn, Manifest


class Poison(Attachment):
    name = "poison"

    def of_call(self, run):
        os.kill(os.getpid(), signal.SIGKILL)


class FullDisk(Attachment):
    name = "full_disk"

    def of_call(self, run):
        if Path(os.environ["FULL"]).exists():
            os.replace = full
        return self


def full(*files, **places):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@hookimpl
def autopipe_family():
    names = {"poison": "Poison", "full_disk": "FullDisk"}
    return Manifest(
        name="harm", addons=tuple(AddOn(name, f"plugin_harm:{of}") for name, of in names.items())
    )
"""
"""Add-ons: a drawing that kills its process, and a disk that is full while a file exists."""


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("batches")


def test_killed_batches_end_as_undisturbed_ones(batches: Any, tmp_path: Path) -> None:
    kills: Counter[str] = Counter()
    # On a fast machine, all jobs may be done before all kills.
    for turn in range(4):
        course = batches.draw_and_kill(tmp_path / str(turn), jobs=100, kills=20, seed=turn)
        assert course.runs > course.kills["parent"]
        kills += course.kills
        if kills.total() >= 20:
            break
    assert kills.total() >= 20
    assert kills.keys() == {"parent", "worker"}


def summary(
    batches: Any, jobs: Path, *options: str, full: Path = Path("nowhere"), code: int = 0
) -> dict[str, Any]:
    """Draw into the folder of the jobs, and return the summary if there is one."""
    write = jobs.parent / "site"
    if not write.is_dir():
        write_plugin(write, "harm", PLUGIN)
    asked = batches.command(jobs, jobs.parent / "drawn", "--workers", "2", "--json", *options)
    done = subprocess.run(
        asked, capture_output=True, text=True, timeout=500, env=env(write, FULL=str(full))
    )
    assert done.returncode == code, done.stderr
    told: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"error": done.stderr}
    return told


def write_jobs(folder: Path, attached: Sequence[str | None]) -> Path:
    """Write small jobs, with an add-on for each that has one."""
    file = folder / "jobs.jsonl"
    lines = [
        {"prompt": "a star", "steps": 2, "size": "32x32", "seed": seed}
        | ({"attach": [addon]} if addon else {})
        for seed, addon in enumerate(attached)
    ]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


def test_a_job_that_kills_its_workers_is_set_aside_and_named(batches: Any, tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, [None, "poison", None, None])
    told = summary(batches, jobs, code=1)
    assert told["drawn"] == 3
    ((poisoned, why),) = told["set_aside"].items()
    assert "2 workers died of it" in why
    assert "SIGKILL" in why
    states = [one["state"] for one in batches.entries(tmp_path / "drawn") if one["id"] == poisoned]
    assert states == ["died", "set aside"]
    # Later runs leave it alone, until they are asked to try again.
    assert summary(batches, jobs, code=1)["set_aside"].keys() == {poisoned}
    assert len(batches.entries(tmp_path / "drawn")) == 5
    assert summary(batches, jobs, "--retry", code=1)["set_aside"].keys() == {poisoned}
    assert len(batches.entries(tmp_path / "drawn")) == 7


def test_a_full_disk_is_named_and_the_batch_resumed(batches: Any, tmp_path: Path) -> None:
    jobs, full = write_jobs(tmp_path, [None, "full_disk", "full_disk", None]), tmp_path / "full"
    full.touch()
    told = summary(batches, jobs, full=full, code=2)
    assert "is full; free some space" in told["error"]
    full.unlink()
    told = summary(batches, jobs, full=full)
    assert told["drawn"] + told["found"] == 4
    assert told["drawn"] > 1
    states = [one["state"] for one in batches.entries(tmp_path / "drawn")]
    assert states == ["done"] * 4
