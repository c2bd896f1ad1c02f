"""Kills the processes of a command at random moments, and starts it again until it is done."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from signal import SIGKILL

LONGEST = 300.0
"""Seconds without any progress after which something hangs."""

PAUSE = 0.2
"""Mean seconds between the moment when a kill is due and the kill."""


KINDS = ("parent", "worker", "worker")
"""What is killed, in turn."""


class Stuck(Exception):
    """The command makes no progress, its processes survive it, or it fails."""


@dataclass
class Course:
    """What happened until the command was done.

    Attributes:
        kills: how many processes were killed, by kind: `parent`, `worker`.
        runs: how often the command ran.
        retries: how often it ran with the option that tries again what was set aside.
    """

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    retries: int = 0


def until_done(
    command: Sequence[str],
    *,
    retry: Sequence[str],
    progress: Callable[[], int],
    total: int,
    kills: int,
    seed: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Course:
    """Run a command until it succeeds, and kill its processes meanwhile.

    A kill is due whenever some jobs more are done, which are drawn from a uniform distribution; it
    happens a moment later. A third of them hits the parent, the others one of its workers, busy or
    starting; if all is done too early, the last ones are left out. After a kill of the parent all
    its descendants have to end by themselves.

    Args:
        command: its exit code is 0 when all is done, and 1 when jobs were set aside.
        retry: the arguments with which it also does what was set aside.
        progress: the number of jobs that are done, of `total`.
        kills: the number of kills.
        environment: the environment of the command; None for that of this process.

    Raises:
        Stuck: if no job is done for so long, or the command fails otherwise.
    """
    chance, course = random.Random(seed), Course()
    moments = sorted(chance.randint(0, total * 9 // 10) for _ in range(kills))
    due = [(done, KINDS[place % len(KINDS)]) for place, done in enumerate(moments)]
    ended = 0
    while True:
        course.runs += 1
        course.retries += ended == 1
        run = _Run([*command, *(retry if ended == 1 else ())], environment)
        last, since = -1, time.monotonic()
        while run.process.poll() is None:
            done = progress()
            if done != last:
                last, since = done, time.monotonic()
            if time.monotonic() > since + LONGEST:
                run.process.kill()
                raise Stuck(f"{done} done, and none more for {LONGEST:.0f} s: {run.told()}")
            if due and due[0][0] <= done:
                # When several are due, jobs are done faster than their workers are killed.
                if len(due) == 1 or due[1][0] > done:
                    time.sleep(min(chance.expovariate(1 / PAUSE), 5 * PAUSE))
                if run.kill(due[0][1], chance):
                    course.kills[due.pop(0)[1]] += 1
            time.sleep(0.02)
        ended = run.process.returncode
        told = run.told()
        if ended == 0:
            return course
        if ended not in (1, -SIGKILL) or course.retries > kills + 1:
            raise Stuck(f"exit code {ended}: {told}")


class _Run:
    """A run of the command; all its processes write to one pipe, which ends with the last one."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
        )
        self._lines: deque[str] = deque(maxlen=20)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self._lines.extend(lines)

    def told(self) -> str:
        """Wait until all its processes have ended, and return the end of what they wrote."""
        self._reader.join(LONGEST)
        if self._reader.is_alive():
            raise Stuck(f"processes outlive their parent: {''.join(self._lines)}")
        return "".join(self._lines)

    def kill(self, kind: str, chance: random.Random) -> bool:
        """Kill the parent or a worker, and return whether there was one."""
        living = [self.process.pid] if kind == "parent" else _workers(self.process.pid)
        if self.process.poll() is not None or not living:
            return False
        try:
            os.kill(chance.choice(living), SIGKILL)
        except ProcessLookupError:
            return False
        return True


def _workers(parent: int) -> list[int]:
    """Return the workers that a process has started."""
    # Without "-ww", lines may be cut where there is no terminal.
    told = subprocess.run(
        ["ps", "-A", "-ww", "-o", "ppid=,pid=,args="],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    rows = [line.split(maxsplit=2) for line in told.stdout.splitlines()]
    return [int(pid) for ppid, pid, args in rows if int(ppid) == parent and "spawn_main" in args]
