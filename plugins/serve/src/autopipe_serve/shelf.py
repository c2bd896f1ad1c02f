"""The checkpoints that are loaded, under a budget of memory."""

from __future__ import annotations

import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from autopipe.errors import AutopipeError
from autopipe.placement.devices import CPU, free_memory
from autopipe.registry import Registry
from autopipe.sizes import size_text
from autopipe.wording import shown
from autopipe_requests.estimating import Estimate, estimate
from autopipe_requests.opening import Pipelines, Ready, weights_key
from autopipe_requests.request import Request

from .limits import LimitError
from .room import Room
from .settings import Settings

_MOST_ESTIMATES = 256


class Shelf(Pipelines):
    """Pipelines of which the least recently used leave when memory gets short.

    Args:
        settings: the settings.
        registry: the installed packages.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        super().__init__(settings.placement, registry, most=sys.maxsize, local_only=True)
        limit = settings.memory
        if limit is None:
            free = free_memory()
            limit = (free.get(settings.placement.target()) or free[CPU]) * 9 // 10
        self.room = Room(limit, self.drop)
        self._estimates: OrderedDict[tuple[str, str | None], Estimate] = OrderedDict()
        self._estimating = threading.Lock()
        self._names: dict[str, str] = {}

    def estimate(self, request: Request) -> Estimate:
        """Return what a request takes, by the small files of its checkpoint.

        Raises:
            AutopipeError: if one of them is absent or not valid.
        """
        key = weights_key(request), request.task
        with self._estimating:
            found = self._estimates.get(key)
            if found is None:
                found = self._estimates[key] = estimate(request, self.registry, local_only=True)
                if len(self._estimates) > _MOST_ESTIMATES:
                    self._estimates.popitem(last=False)
            self._estimates.move_to_end(key)
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
                f"{shown(request.checkpoint.name)} takes about {size_text(weights)}, and drawing "
                f"this size {size_text(work)} more, but this server may take "
                f"{size_text(self.room.limit)}; give a smaller size or another model"
            )

    def needs(self, request: Request, size: tuple[int, int] | None) -> tuple[int, int]:
        """Return the bytes of the weights of a request, and of its activations."""
        found = self.estimate(request)
        if size is None or found.size is None:
            return found.weights, found.work
        usual = found.size[0] * found.size[1]
        return found.weights, found.work * size[0] * size[1] // usual

    def held(self) -> dict[str, int]:
        """Return the bytes of the weights of each loaded checkpoint, by its name."""
        found: Counter[str] = Counter()
        for key, size in self.room.held.items():
            found[self._names[key]] += size
        return dict(found)

    @contextmanager
    def using(
        self, request: Request, size: tuple[int, int] | None, is_cancelled: Callable[[], bool]
    ) -> Iterator[None]:
        """Context manager in which the checkpoint of a request has room and doesn't leave.

        Raises:
            CancelledError: if it is cancelled while it waits for room.
        """
        key = weights_key(request)
        self._names[key] = request.checkpoint.name
        weights, work = self.needs(request, size)
        with self.room.taken(key, weights, work, is_cancelled):
            try:
                yield
            finally:
                if not self.is_loaded(request):
                    self.room.correct(key, 0)

    def measure(self, request: Request, ready: Ready) -> None:
        """Count the weights of a checkpoint that was loaded."""
        try:
            held = sum(pipe.placement.size for pipe in (ready.pipe, *ready.stages))
        except (AttributeError, AutopipeError):  # a class that isn't ours
            return
        self.room.correct(weights_key(request), held)
