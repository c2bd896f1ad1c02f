"""What a batch does, and who does it: jobs, their outcomes, and runners.

A runner distributes jobs to workers, which are processes of this machine or of others. It knows
nothing about pictures: each worker makes the function that does the work with `make`, once, and
calls it for every group of jobs that it gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from autopipe_requests.request import Request


@dataclass(frozen=True, kw_only=True)
class Job:
    """A request to do.

    Attributes:
        id: the id of the request, which names its file.
        request: the request.
        deaths: how many workers have died of it before.
    """

    id: str
    request: Request
    deaths: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job.

    Attributes:
        id: the id of the job.
        state: `done`; `failed` with an error; `died` if its worker died and another one will try;
            `set aside` after the second death.
        file: the name of the written file.
        sha256: the hash of its bytes.
        seconds: the time that its group took, divided by the number of jobs in it.
        error: what went wrong, in one line.
        worker: who did it, for people.
        fatal: whether nothing more can be done, for example because the disk is full.
    """

    id: str
    state: Literal["done", "failed", "died", "set aside"]
    file: str | None = None
    sha256: str | None = None
    seconds: float = 0.0
    error: str | None = None
    worker: str = ""
    fatal: bool = False


Group: TypeAlias = tuple[Job, ...]
"""Jobs that are drawn together; usually one."""

Do: TypeAlias = Callable[[Group], list[Outcome]]
"""Does the jobs of a group and returns the outcome of each. Doesn't raise for a job's fault."""

MOST_DEATHS = 2
"""A job is set aside when so many workers died of it."""


class Make(Protocol):
    """Makes the function that does the work; picklable, and called once in each worker."""

    def __call__(self, device: str | None, threads: int) -> Do:
        """Return the function.

        Args:
            device: the device of this worker, such as `cuda:1`; None for the default one.
            threads: the number of threads of torch.
        """


class Runner(Protocol):
    """Distributes groups to workers; the `target` of a `Runner` in a manifest."""

    def __call__(
        self,
        groups: Sequence[Group],
        make: Make,
        *,
        workers: int | None,
        devices: Sequence[str | None],
        threads: int,
        stopping: Callable[[], bool],
    ) -> Iterator[Outcome]:
        """Do all groups and yield what becomes of each job, in any order.

        A group whose worker dies is tried again, job by job, after the others. When the runner is
        closed (`GeneratorExit`), its workers end.

        Args:
            groups: the groups, the most urgent first.
            make: what makes the function that does the work.
            workers: the number of workers; None for as many as there are devices.
            devices: the device of each worker, repeated if there are more workers.
            threads: the number of threads of torch in each worker.
            stopping: whether to begin nothing more and to return after what is in flight.
        """
