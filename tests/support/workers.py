"""Functions for workers of a batch: what they do to a job is told by its prompt."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from autopipe_batch.work import Do, Group, Job, Outcome
from autopipe_requests.request import Checkpoint, Request


def job(prompt: str, *, seed: int = 0, deaths: int = 0) -> Job:
    """Return a job whose id is its prompt."""
    request = Request(
        checkpoint=Checkpoint(name="demo:toy"), seed=seed, arguments={"prompt": prompt}
    )
    return Job(id=prompt, request=request, deaths=deaths)


def jobs(*prompts: str) -> list[Group]:
    """Return groups of one job each."""
    return [(job(prompt),) for prompt in prompts]


@dataclass(frozen=True)
class Follow:
    """Makes a function that does what the words of a prompt say, in a folder.

    A job that begins adds a line to the file `begun`, and a worker one to the file `made`.

    Attributes:
        folder: the folder.
        start: a word that making follows.
        only: the device whose worker does that; None for all.
    """

    folder: Path
    start: str = ""
    only: str | None = None

    def __call__(self, device: str | None, threads: int) -> Do:
        note(self.folder, "made", f"{os.getpid()} {device} {threads}")
        if self.only in (None, device):
            self._follow(self.start)
        return self._do

    def process(self) -> int:
        """Wait until a job has begun, and return the process of the last one."""
        wait_for(lambda: noted(self.folder, "begun"))
        return int(noted(self.folder, "begun")[-1].split()[0])

    def _do(self, group: Group) -> list[Outcome]:
        return [self._one(one) for one in group]

    def _one(self, one: Job) -> Outcome:
        prompt = str(one.request.arguments["prompt"])
        note(self.folder, "begun", f"{os.getpid()} {prompt}")
        for word in prompt.split():
            if word == "full":
                return Outcome(id=one.id, state="failed", error="the disk is full", fatal=True)
            self._follow(word)
        return Outcome(id=one.id, state="done", file=str(os.getpid()))

    def _follow(self, word: str) -> None:
        verb, _, name = word.partition(":")
        actions: dict[str, Callable[[], Any]] = {
            "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "kill-halfway": _answer_half,
            "abort": os.abort,
            "exit": lambda: sys.exit(3),
            "raise": lambda: 1 // 0,
            "sleep": lambda: time.sleep(1000),
            "print": lambda: print("printed by a worker", flush=True),
            "child": lambda: subprocess.Popen([sys.executable, "-c", _SLEEP]),
            "process": lambda: multiprocessing.get_context("spawn").Process(target=int).start(),
            "stay": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
            "tell": (self.folder / name).touch,
            "wait": lambda: wait_for((self.folder / name).exists),
            "once": lambda: (self.folder / name).exists() or self._kill_and_tell(name),
        }
        actions.get(verb, lambda: None)()

    def _kill_and_tell(self, name: str) -> None:
        (self.folder / name).touch()
        os.kill(os.getpid(), signal.SIGKILL)


_SLEEP = "import time; time.sleep(1000)"


def _answer_half() -> None:
    """Write the beginning of an answer to the parent, and die."""
    (ours,) = (one for one in gc.get_objects() if type(one) is Connection)
    os.write(ours.fileno(), b"\0\0\1\0half")
    os.kill(os.getpid(), signal.SIGKILL)


def note(folder: Path, name: str, text: str) -> None:
    """Add a line to a file; lines of several processes don't mix."""
    file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{text}\n".encode())
    os.close(file)


def noted(folder: Path, name: str) -> list[str]:
    """Return the lines of a file; none if there is no file."""
    file = folder / name
    return file.read_text().splitlines() if file.exists() else []


def wait_for(true: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until something is true; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)
