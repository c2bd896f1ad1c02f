"""Draws jobs: what each worker does."""

from __future__ import annotations

import errno
import os
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.errors import AutopipeError
from autopipe.wording import clean, cut, error_text, reason, shown
from autopipe_requests.placement import Placement

from .reconcile import IMAGES
from .work import Do, Group, Job, Outcome

if TYPE_CHECKING:
    from autopipe_requests.opening import Pipelines, Ready

_FULL = {
    getattr(errno, name): text
    for name, text in (
        ("ENOSPC", "the disk of {} is full; free some space"),
        ("EDQUOT", "your quota of the disk of {} is used up; free some space"),
        ("EROFS", "{} can't be written any more: it is read-only; make it writable"),
    )
    if hasattr(errno, name)
}
_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")
_MORE_MEMORY = (
    "there is too little memory; run the same command again with fewer --workers, or with "
    "--memory or a smaller --batch-size"
)


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Makes the function that draws and writes jobs, in a worker.

    Attributes:
        folder: the folder of the results.
        unfinished: the folder for files that are being written, on the same disk.
        image: the type of images, one of `IMAGES`.
        placement: where the pipelines compute, except for the device.
    """

    folder: str
    unfinished: str
    image: str = "png"
    placement: Placement = field(default_factory=Placement)

    def __call__(self, device: str | None, threads: int) -> Do:
        """Return the function; see `Make`."""
        import torch
        from tqdm import tqdm

        from autopipe.placement.allocator import keeping_memory
        from autopipe_requests.opening import Pipelines

        torch.set_num_threads(threads)
        # By default it is one for several processes, which a killed worker would leave behind.
        tqdm.set_lock(threading.RLock())
        placement = replace(self.placement, device=device or self.placement.device)
        pipelines = Pipelines(placement)
        # A worker does nothing but draw until it ends.
        ExitStack().enter_context(keeping_memory(placement.target(), in_new_threads=True))

        def do(group: Group) -> list[Outcome]:
            return _drawn(group, self, pipelines)

        return do


def _drawn(group: Group, how: Draw, pipelines: Pipelines) -> list[Outcome]:
    """Draw and write a group; if that fails, its jobs one by one."""
    from autopipe_requests.drawing import draw

    begin = time.perf_counter()
    try:
        results = draw([job.request for job in group], pipelines, before=silence)
        written = [_write(result, job, how) for result, job in zip(results, group)]
    except Exception as error:
        fatal = full_disk(error, how.folder)
        if len(group) > 1 and fatal is None:
            return [one for job in group for one in _drawn((job,), how, pipelines)]
        seconds = (time.perf_counter() - begin) / len(group)
        text = fatal or one_line(error)
        return [
            Outcome(id=job.id, state="failed", error=text, seconds=seconds, fatal=fatal is not None)
            for job in group
        ]
    seconds = (time.perf_counter() - begin) / len(group)
    return [
        Outcome(id=job.id, state="done", file=name, sha256=sha, seconds=seconds)
        for job, (name, sha) in zip(group, written)
    ]


def silence(ready: Ready) -> None:
    """The bar of the batch is the only one."""
    for pipe in (ready.pipe, *ready.stages):
        pipe.set_progress_bar_config(disable=True)


def _write(result: Any, job: Job, how: Draw) -> tuple[str, str]:
    """Write a result beside its place and rename it; return its name and the hash of its bytes."""
    from autopipe_requests.hashes import sha256_of

    suffix = result.suffix
    if suffix in IMAGES.values():
        suffix = IMAGES[how.image]
    name = f"{job.id}{suffix}"
    unfinished = Path(how.unfinished, f"{os.getpid()}-{name}")
    result.save(unfinished)
    sha = sha256_of(unfinished)
    os.replace(unfinished, Path(how.folder, name))
    return name, sha


def full_disk(error: BaseException, folder: str) -> str | None:
    """Return in a sentence that nothing more can be written to `folder`; None for other errors."""
    found: BaseException | None = error
    while found is not None:
        text = _FULL.get(found.errno or 0) if isinstance(found, OSError) else None
        if text is not None:
            return f"{text.format(shown(folder))}, and run the same command again to go on"
        found = found.__cause__
    return None


def one_line(error: BaseException) -> str:
    """Return the text of an error on one line, with what to do if memory was too little."""
    text = " ".join(
        (error_text(error) if isinstance(error, AutopipeError) else reason(error)).split()
    )
    lowered = text.lower()
    if isinstance(error, MemoryError) or any(one in lowered for one in _NO_MEMORY):
        text = f"{_MORE_MEMORY} ({cut(text, 300)})"
    return cut(clean(text, keep=""), 1000)
