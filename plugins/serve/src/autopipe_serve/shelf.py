"""The checkpoints that are loaded, under a budget of memory."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from autopipe.placement.base import bytes_of, networks_of
from autopipe.placement.devices import CPU, free_memory, whole_memory
from autopipe.registry import Registry
from autopipe.regular import is_file
from autopipe.sizes import size_text
from autopipe_requests.estimating import Estimate, estimate
from autopipe_requests.opening import MOST_ATTACHED, Pipelines, Ready, weights_key
from autopipe_requests.request import Request

from .limits import LimitError
from .room import Room
from .settings import Settings

_MOST_ESTIMATES = 256


@dataclass
class _Facts:
    """A loaded checkpoint: its name, and the sizes of the files that are attached to it."""

    name: str
    attached: dict[str, int] = field(default_factory=dict)


class Shelf(Pipelines):
    """Pipelines of which the least recently used leave when memory gets short.

    Args:
        settings: the settings.
        registry: the installed packages.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        super().__init__(settings.placement, registry, most=sys.maxsize, local_only=True)
        self.room = Room(settings.memory or self._free() * 9 // 10, self.drop)
        self._estimates: OrderedDict[tuple[str, str | None], Estimate] = OrderedDict()
        self._estimating = threading.Lock()
        self._facts: dict[str, _Facts] = {}

    def _free(self) -> int:
        """Return the free bytes of the device that keeps the weights."""
        free, device = free_memory(), self.placement.target()
        found = free.get(device, free[CPU])
        return min(found, whole_memory(device) or found)

    def drop(self, key: str) -> None:
        """Give back the memory of a checkpoint, which no call uses."""
        self._facts.pop(key, None)
        super().drop(key)

    def close(self) -> None:
        """Give back the memory of all checkpoints."""
        self.room.empty()
        super().close()

    def estimate(self, request: Request) -> Estimate:
        """Return what a request takes, by the small files of its checkpoint.

        Raises:
            AutopipeError: if one of them is absent or not valid.
        """
        key = weights_key(request), request.task
        with self._estimating:
            found = self._estimates.pop(key, None)
        found = found or estimate(request, self.registry, local_only=True)
        with self._estimating:
            self._estimates[key] = found
            while len(self._estimates) > _MOST_ESTIMATES:
                self._estimates.popitem(last=False)
        return found

    def check(self, request: Request, size: tuple[int, int] | None) -> None:
        """Check that a request fits into the memory when it is alone.

        Args:
            size: width and height in pixels of its result; None if unknown.

        Raises:
            LimitError: if it doesn't.
        """
        weights, work = self.needs(request, size)
        if weights + work > self.room.limit:
            raise LimitError(
                f"the model takes about {size_text(weights)}, and drawing "
                f"this size {size_text(work)} more, but this server may take "
                f"{size_text(self.room.limit)}; give a smaller size or another model"
            )

    def needs(self, request: Request, size: tuple[int, int] | None) -> tuple[int, int]:
        """Return the bytes of the weights of a request, and of its activations."""
        found = self.estimate(request)
        work = found.work
        if size is not None and found.size is not None:
            work = work * size[0] * size[1] // (found.size[0] * found.size[1])
        return found.weights, work + sum(size for _, size in _files(request))

    def held(self) -> dict[str, int]:
        """Return the bytes of the weights of each loaded checkpoint, by its name."""
        found: Counter[str] = Counter()
        for key, size in self.room.held.items():
            facts = self._facts.get(key)
            if facts is not None:
                found[facts.name] += size
        return dict(found)

    @contextmanager
    def using(
        self, request: Request, size: tuple[int, int] | None, is_cancelled: Callable[[], bool]
    ) -> Iterator[None]:
        """Context manager in which the checkpoint of a request has room and doesn't leave.

        Raises:
            CancelledError: if it is cancelled while it waits for room.
        """
        weights, work = self.needs(request, size)
        with self.room.taken(weights_key(request), weights, work, is_cancelled):
            try:
                yield
            finally:
                if not self.is_loaded(request):
                    self.room.correct(weights_key(request), 0)

    def measure(self, request: Request, ready: Ready) -> None:
        """Count the bytes of the checkpoint of a request, which is in use, and of its add-ons."""
        key = weights_key(request)
        facts = self._facts.setdefault(key, _Facts(request.checkpoint.name))
        facts.attached |= dict(_files(request))
        for source in [*facts.attached][: len(facts.attached) - MOST_ATTACHED]:
            del facts.attached[source]
        pipes = (ready.pipe, *ready.stages)
        weights = sum(
            bytes_of(one) for pipe in pipes for one in networks_of(pipe.components).values()
        )
        self.room.correct(key, weights + sum(facts.attached.values()))


def _files(request: Request) -> Iterator[tuple[str, int]]:
    """Yield the files of the add-ons of a request, with their sizes."""
    for one in request.addons:
        if one.source is not None and is_file(one.source):
            yield one.source, os.stat(one.source).st_size
