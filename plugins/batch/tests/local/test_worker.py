"""Workers whose parent is killed or interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.workers import Follow, noted, wait_for

PARENT = """
import signal, sys
from pathlib import Path
from support.workers import Follow, jobs
from autopipe_batch.local import run

stop = []
signal.signal(signal.SIGINT, lambda *_: stop.append(1))
folder, start, *prompts = sys.argv[1:]
done = run(jobs(*prompts), Follow(Path(folder), start), workers=1, devices=[None], threads=1,
           stopping=lambda: bool(stop))
for outcome in done:
    print(outcome.id, outcome.state, flush=True)
"""


@contextmanager
def parent(folder: Path, *prompts: str, start: str = "") -> Iterator[subprocess.Popen[str]]:
    """A program that does these jobs, the leader of a session."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), start, *prompts],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def rest(process: subprocess.Popen[str]) -> str:
    """Wait until nobody has the output of the program any more, and return it."""
    out, _ = process.communicate(timeout=60)
    return out


@pytest.mark.parametrize("start", ["", "child", "sleep"])
def test_workers_end_with_a_killed_parent(tmp_path: Path, start: str) -> None:
    """In the middle of a job, with a process that it has started, and while they start."""
    with parent(tmp_path, "a child sleep", start=start) as process:
        wait_for(lambda: noted(tmp_path, "made" if start == "sleep" else "begun"))
        os.kill(process.pid, signal.SIGKILL)
        assert rest(process) == ""


def test_what_a_worker_started_ends_with_it(tmp_path: Path) -> None:
    with parent(tmp_path, "child kill", "child b") as process:
        told = rest(process).splitlines()
    assert sorted(told) == ["child b done", "child kill died", "child kill set aside"]


def test_an_interrupt_of_the_terminal_reaches_the_parent_alone(tmp_path: Path) -> None:
    with parent(tmp_path, "a wait:go", "b") as process:
        worker = Follow(tmp_path).process()
        os.killpg(process.pid, signal.SIGINT)
        os.kill(worker, signal.SIGINT)
        (tmp_path / "go").touch()
        assert rest(process) == "a wait:go done\n"


def test_a_worker_can_be_terminated(tmp_path: Path) -> None:
    with parent(tmp_path, "a wait:go") as process:
        os.kill(Follow(tmp_path).process(), signal.SIGTERM)
        (tmp_path / "go").touch()
        assert rest(process) == "a wait:go died\na wait:go done\n"
