"""What workers do: files, outcomes, and which errors end a job or everything."""

from __future__ import annotations

import errno
import hashlib
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import autopipe_requests.drawing
from autopipe.errors import ArgumentError, ImageFileError
from autopipe_batch.drawing import Draw, full_disk, one_line, silence
from autopipe_batch.work import Do, Group, Job
from autopipe_requests.request import Checkpoint, Request


class Drawn:
    """A stand-in for a result, whose file has the seed."""

    def __init__(self, request: Request, suffix: str) -> None:
        self.request, self.suffix = request, suffix

    def save(self, path: Path) -> Path:
        path.write_text(str(self.request.seed))
        return path


class Studio:
    """A stand-in for `draw`: it remembers its calls, and raises for some seeds."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.errors: dict[int, Exception] = {}
        self.suffix = ".png"

    def __call__(
        self, requests: Sequence[Request], pipelines: object, **how: object
    ) -> list[Drawn]:
        self.calls.append([one.seed for one in requests])
        for one in requests:
            if one.seed in self.errors:
                raise self.errors[one.seed]
        return [Drawn(one, self.suffix) for one in requests]


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Studio:
    made = Studio()
    monkeypatch.setattr(autopipe_requests.drawing, "draw", made)
    return made


@pytest.fixture
def make(tmp_path: Path, studio: Studio):
    (tmp_path / "unfinished").mkdir()

    def made(**how: str) -> Do:
        draw = Draw(folder=str(tmp_path), unfinished=str(tmp_path / "unfinished"), **how)
        return pickle.loads(pickle.dumps(draw))(None, torch.get_num_threads())

    return made


def group(*seeds: int) -> Group:
    requests = [Request(checkpoint=Checkpoint(name="demo"), seed=seed) for seed in seeds]
    return tuple(Job(id=one.id, request=one) for one in requests)


def test_a_result_is_written_under_its_id(make, tmp_path: Path) -> None:
    [job] = group(7)
    [outcome] = make()((job,))
    assert (outcome.id, outcome.state, outcome.file) == (job.id, "done", f"{job.id}.png")
    assert (tmp_path / f"{job.id}.png").read_text() == "7"
    assert outcome.sha256 == hashlib.sha256(b"7").hexdigest()
    assert outcome.seconds > 0
    assert list((tmp_path / "unfinished").iterdir()) == []


def test_the_type_of_images_can_be_chosen(make, studio: Studio) -> None:
    do = make(image="webp")
    [job] = group(1)
    assert do((job,))[0].file == f"{job.id}.webp"
    studio.suffix = ".gif"
    assert do((job,))[0].file == f"{job.id}.gif"


def test_threads_are_set_in_the_worker(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        Draw(folder=str(tmp_path), unfinished=str(tmp_path))("cpu", before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_progress_bars_in_workers_take_no_lock_of_the_system(tmp_path: Path) -> None:
    script = (
        "import multiprocessing, tqdm, autopipe_batch.drawing as drawing\n"
        "multiprocessing.RLock = None  # A call of it raises.\n"
        "drawing.Draw(folder='.', unfinished='.')('cpu', 1)\n"
        "list(tqdm.tqdm([1], disable=True))\n"
        "print(type(tqdm.tqdm.get_lock()).__module__)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "_thread\n"


def test_a_group_is_drawn_together(make, studio: Studio) -> None:
    outcomes = make()(group(1, 2, 3))
    assert studio.calls == [[1, 2, 3]]
    assert [one.state for one in outcomes] == ["done"] * 3
    assert len({one.seconds for one in outcomes}) == 1


def test_one_job_of_a_group_fails_alone(make, studio: Studio) -> None:
    studio.errors[2] = ArgumentError("no such\nsize")
    outcomes = make()(group(1, 2, 3))
    assert [one.state for one in outcomes] == ["done", "failed", "done"]
    assert outcomes[1].error == "no such size"
    assert studio.calls == [[1, 2, 3], [1], [2], [3]]


def test_errors_are_one_clean_line() -> None:
    assert one_line(ArgumentError("a\n b")) == "a b"
    assert one_line(KeyError("x\x1b[31m")) == r"KeyError: 'x\x1b[31m'"
    assert len(one_line(ValueError("x" * 10**6))) <= 1000
    memory = RuntimeError(
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
    )
    for error in (MemoryError(), memory, torch.OutOfMemoryError("CUDA out of memory.")):
        assert "fewer --workers" in one_line(error)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_ends_everything(make, studio: Studio, tmp_path: Path, number: int) -> None:
    error = ImageFileError("it can't be written")
    error.__cause__ = OSError(number, "full")
    studio.errors[1] = error
    [one, two] = make()(group(1, 2))
    assert one.fatal
    assert two.fatal
    assert one.state == "failed"
    assert str(tmp_path) in (one.error or "")
    assert "run the same command again" in (one.error or "")
    assert studio.calls == [[1, 2]]


def test_other_errors_are_no_full_disk() -> None:
    assert full_disk(OSError(errno.ENOENT, "no"), "out") is None
    assert full_disk(ValueError(), "out") is None


def test_pipelines_show_no_bars_of_their_own() -> None:
    seen: list[object] = []
    pipe = SimpleNamespace(set_progress_bar_config=lambda **how: seen.append(how))
    silence(SimpleNamespace(pipe=pipe, stages=[pipe]))  # type: ignore[arg-type]
    assert seen == [{"disable": True}] * 2
