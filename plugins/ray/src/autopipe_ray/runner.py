"""The runner `ray`: the groups of a batch are rows of Ray Data, and its workers are actors.

Ray decides which machine does what. What was begun, and what may be tried again, is decided by a
`Ledger`, since Ray itself repeats the tasks of dead workers without end. Each group is begun once
in a round; those that a worker died of come again in the next round, job by job, until they are set
aside.
"""

from __future__ import annotations

import os
import pickle
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
import ray.data
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from autopipe.errors import ArgumentError, AutopipeError
from autopipe.wording import error_summary, listed
from autopipe_batch.work import MOST_DEATHS, Group, Job, Make, Outcome

from .cluster import cluster
from .ledger import Ledger
from .worker import Setting, Worker, rows

_LOOKS = 0.2
"""The seconds between two looks at whether to stop."""

_MOST_LOST = 3
"""How many workers, beyond those that are made at the same time, may end in the making."""


def run(
    groups: Sequence[Group],
    make: Make,
    *,
    workers: int | None,
    devices: Sequence[str | None],
    threads: int,
    stopping: Callable[[], bool],
) -> Iterator[Outcome]:
    """Do all groups on a Ray cluster, as `autopipe_batch.work.Runner` says.

    The cluster is the one that the environment variable `RAY_ADDRESS` names, or one of this
    machine that ends with the run. On GPUs each worker has one of its own.

    Args:
        workers: None for as many as the cluster has room for.
        make: may have an attribute `folder`, where results are written. Every machine must see it.

    Raises:
        AutopipeError: if no cluster answers, a machine doesn't see the folder, or a worker can't
            be made.
        ArgumentError: if the devices are of several kinds, or the cluster has no room for the
            workers.
    """
    if not groups:
        return
    kinds = {device and device.partition(":")[0] for device in devices}
    if len(kinds) != 1:
        raise ArgumentError(
            f"Ray gives each worker a device of the same kind, and these were asked for: "
            f"{listed(devices)}; ask for one kind"
        )
    (kind,) = kinds
    gpu = kind == "cuda"
    with cluster(workers, threads, len(devices), gpu) as count, _marker(make) as marker:
        ledger = _ledger(count)
        setting = Setting(cloudpickle.dumps(make), kind, threads, ledger, os.getcwd(), marker)
        first, fatal = 0, False

        def over() -> bool:
            return fatal or stopping()

        while groups and not over():
            again: list[Group] = []
            attempt = _Round(setting, count, float(gpu)).done(groups, first, over)
            with closing(attempt) as all_done:
                for number, outcomes in all_done:
                    group = groups[number - first]
                    for job, outcome in zip(group, outcomes):
                        fatal = fatal or outcome.fatal
                        if outcome.state != "died":
                            yield outcome
                            continue
                        # In a group of several, another one may have been the cause.
                        if job.deaths + 1 >= MOST_DEATHS and len(group) == 1:
                            outcome = _set_aside(job, outcome)
                        else:
                            again.append((replace(job, deaths=job.deaths + 1),))
                        yield outcome
            first += len(groups)
            groups = again


class _Round:
    """Attempts groups, each once."""

    def __init__(self, setting: Setting, count: int, gpus: float) -> None:
        self._setting, self._count, self._gpus = setting, count, gpus
        self._last: set[int] | None = None

    def done(
        self, groups: Sequence[Group], first: int, stopping: Callable[[], bool]
    ) -> Generator[tuple[int, tuple[Outcome, ...]], None, None]:
        """Yield the numbers of the groups, from `first` on, and the outcomes of their jobs."""
        over = threading.Event()
        looking = threading.Thread(target=self._look, args=(stopping, over), daemon=True)
        looking.start()
        left = {*range(first, first + len(groups))}
        try:
            # Ray's threads must have ended before Ray does.
            with closing(self._rows(groups, first)) as all_found:
                for number, found in all_found:
                    if isinstance(found, str):
                        raise AutopipeError(found)
                    left.discard(number)
                    if found:
                        yield number, found
                    if self._last is not None and not left & self._last:
                        return
        finally:
            over.set()
            looking.join()

    def _rows(self, groups: Sequence[Group], first: int) -> Generator[tuple[int, Any], None, None]:
        try:
            # One block for each group, since a block is what Ray gives to a worker.
            blocks = [rows([numbered]) for numbered in enumerate(groups, first)]
            size = min(self._count, len(blocks))
            done = ray.data.from_arrow(blocks).map_batches(
                Worker,
                batch_size=1,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1),
                fn_constructor_args=(self._setting,),
                num_cpus=self._setting.threads,
                num_gpus=self._gpus,
            )
            done.context.enable_progress_bars = False
            # A job may take longer than Ray waits for any progress.
            done.context.execution_no_progress_timeout_s = -1
            # Other iterators leave a thread behind that may use Ray after its end, which exits.
            for bundle in done.iter_internal_ref_bundles():
                for table in ray.get(list(bundle.block_refs)):
                    for row in table.to_pylist():
                        yield row["number"], pickle.loads(row["content"])
        except Exception as error:
            raise AutopipeError(
                f"Ray ended the run ({error_summary(error)}); the same command does what is left"
            ) from error

    def _look(self, stopping: Callable[[], bool], over: threading.Event) -> None:
        """Tell the ledger when to stop."""
        while not over.wait(_LOOKS):
            if stopping():
                # If the cluster is gone, there is nothing to stop.
                with suppress(Exception):
                    self._last = ray.get(self._setting.ledger.stop.remote())
                return


def _ledger(workers: int) -> Any:
    """Return the actor of a new ledger, which lives on the machine of this program."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    actor = ray.remote(num_cpus=0, scheduling_strategy=here)(Ledger)
    return actor.remote(workers + _MOST_LOST)


@contextmanager
def _marker(make: Make) -> Iterator[tuple[Path, str] | None]:
    """Write a file in the folder of results, by which machines know that they see it."""
    folder = getattr(make, "folder", None)
    if folder is None:
        yield None
        return
    path, text = Path(folder).absolute() / ".autopipe-ray", uuid.uuid4().hex
    try:
        path.write_text(text, encoding="ascii")
    except OSError as error:
        raise AutopipeError(
            f"no file can be written in the folder of results ({error_summary(error)})"
        ) from error
    try:
        yield path, text
    finally:
        path.unlink(missing_ok=True)


def _set_aside(job: Job, outcome: Outcome) -> Outcome:
    return replace(
        outcome,
        state="set aside",
        error=f"{job.deaths + 1} workers died of it, the last one was {outcome.worker}; it may "
        f"succeed with fewer workers or a smaller size",
    )
