"""A cluster of the runner's own, in a program of its own: what it prints, and what is left of it.

The processes of Ray are found by a variable of their environment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from autopipe.errors import AutopipeError
from autopipe_ray.runner import run

PROGRAM = """
import os, sys, time
from pathlib import Path
from autopipe_batch.work import Job, Outcome
from autopipe_ray.runner import run
from autopipe_requests.request import Checkpoint, Request

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])

class Make:
    def __call__(self, device, threads):
        return self.do

    def do(self, group):
        file = folder / group[0].id
        if not file.exists():
            file.touch()
            os.kill(os.getpid(), 9)
        time.sleep(seconds)
        return [Outcome(id=job.id, state="done", file=job.id) for job in group]

make = Make()
make.folder = folder
requests = [Request(checkpoint=Checkpoint(name="toy"), seed=seed) for seed in range(2)]
groups = [(Job(id=request.id, request=request),) for request in requests]
for outcome in run(
    groups, make, workers=None, devices=[None, None], threads=1, stopping=lambda: False
):
    print(outcome.state, flush=True)
"""


def start(folder: Path, seconds: float, name: str) -> subprocess.Popen[str]:
    """Start the program; its processes have the variable `name`."""
    environ = {**os.environ, "TOY": name}
    environ.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(seconds)],
        env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def left(name: str) -> list[str]:
    """The command lines of processes that have the variable `name`."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            if f"TOY={name}".encode() in (one / "environ").read_bytes():
                found.append((one / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def remaining(name: str, but: str = "never") -> list[str]:
    """The processes that are left after a minute, except those with `but` in their names."""
    end = time.monotonic() + 60
    while (found := [one for one in left(name) if but not in one]) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def test_nothing_is_left_afterwards_and_only_the_program_prints(tmp_path: Path) -> None:
    name = uuid.uuid4().hex
    with start(tmp_path, 0, name) as program:
        out, error = program.communicate()
        assert out.split() == ["died", "died", "done", "done"], error
        assert "Traceback" not in error
        assert "raylet" not in error
        assert len(error.splitlines()) <= 1
    assert remaining(name) == []
    assert len(list(tmp_path.iterdir())) == 2


def test_workers_end_when_the_program_alone_is_killed(tmp_path: Path) -> None:
    name = uuid.uuid4().hex
    with start(tmp_path, 600, name) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "died\n"
        assert len(left(name)) > 1
        program.send_signal(signal.SIGKILL)
    # Two agents of Ray look for their machine's daemon for another minute.
    assert remaining(name, but="Agent") == []


def test_a_cluster_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    running = run(
        [()], lambda *_: list, workers=1, devices=[None], threads=1, stopping=lambda: False
    )
    with pytest.raises(AutopipeError, match=r"'127.0.0.1:1', which RAY_ADDRESS names"):
        next(running)
