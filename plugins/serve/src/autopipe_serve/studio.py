"""The studio: draws the requests of many clients, some at a time, with a bounded queue.

It knows nothing of HTTP. A client submits requests and gets a ticket, by which it follows, cancels
and fetches them.
"""

from __future__ import annotations

import copy
import secrets
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopipe.registry import Registry, default_registry
from autopipe.tasks import Task
from autopipe.wording import logger
from autopipe_requests.request import Checkpoint, Request

from .catalogue import Catalogue
from .catalogue import Model as Model
from .limits import BusyError as BusyError
from .limits import LimitError as LimitError
from .limits import StoppingError as StoppingError
from .limits import check_request, check_texts, size_of
from .loras import Lora, loras_in
from .names import Names, check_addresses, finder
from .settings import Settings
from .tickets import Event as Event
from .tickets import State as State
from .tickets import Ticket as Ticket

_log = logger(__name__)

_LONGEST_WAIT = 120
"""Clients give up when they are told to wait longer, in seconds."""

_RECENT = 32
_LIVELY = 16
"""The number of tickets that are over and of which all events are still kept."""


@dataclass(frozen=True)
class Stats:
    """Numbers of a studio since it began.

    Attributes:
        queued, drawing: the tickets that wait and that are drawn.
        done, failed, cancelled: the tickets that are over.
        refused: the submissions that found the queue full.
        images: the written images.
        memory: the bytes of the weights of each loaded checkpoint, by its name.
    """

    queued: int
    drawing: int
    done: int
    failed: int
    cancelled: int
    refused: int
    images: int
    memory: Mapping[str, int]


class Studio:
    """Draws requests.

    Args:
        settings: the settings.
        registry: the installed packages.

    Attributes:
        names: what clients may name.
        on_over: functions that receive each ticket that is over, in the thread that ended it.
    """

    def __init__(self, settings: Settings, registry: Registry | None = None) -> None:
        from autopipe_requests.completing import Completion

        from .drawing import Drawing
        from .shelf import Shelf

        self.settings, self.registry = settings, registry or default_registry()
        settings.folder.mkdir(parents=True, exist_ok=True)
        self.names = Names(settings, self.registry)
        self._catalogue = Catalogue(self.names.models, self.registry)
        self.on_over: list[Callable[[Ticket], object]] = []
        self._completion = Completion(self.registry, local_only=True)
        self._shelf = Shelf(settings, self.registry)
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()
        self._over: OrderedDict[str, Ticket] = OrderedDict()
        self._queue: deque[Ticket] = deque()
        self._drawing: dict[str, Drawing] = {}
        self._counts: Counter[str] = Counter()
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._closed = False
        self._changed = threading.Condition(threading.RLock())
        self._threads = [
            threading.Thread(target=self._work, name=f"studio-{n}", daemon=True)
            for n in range(settings.workers)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # What clients ask for

    def complete(self, given: Mapping[str, Any], folder: Path | None = None) -> Request:
        """Return the checked request that a client describes, within the limits.

        Clients name models by the names of `Settings.models`, adapters by file names in
        `Settings.loras`, and files only in `folder`, where their uploads are. Addresses are
        refused: fetching them is not the studio's.

        Raises:
            LimitError: if it exceeds a limit.
            AutopipeError: as for `Completion.complete`.
        """
        try:
            check_texts(given, self.settings.limits)
            replaced = self.names.replaced(given, self._catalogue.default(given.get("task")))
            completion = copy.copy(self._completion)
            completion.find = finder(folder)
            request = completion.complete(replaced)
            check_addresses(request.arguments)
        except RecursionError:
            raise LimitError("the request is nested too deeply; write it flat") from None
        cls = self._shelf.estimate(request).cls
        check_request(request, cls, self._size(request), self.settings.limits)
        return request

    def public(self, request: Request) -> Request:
        """Return a request with names of clients in place of paths on this machine."""
        return self.names.public(request)

    def models(self) -> tuple[Model, ...]:
        """Return the models that clients may name, the default first."""
        return self._catalogue.models(self._shelf.held())

    def default_size(self, model: str, task: Task) -> tuple[int, int] | None:
        """Return width and height in pixels that a model draws if none are given; None if unknown.

        Raises:
            AutopipeError: if a small file of its checkpoint is absent or not valid.
        """
        checkpoint = Checkpoint(name=self.names.model(model))
        request = Request(task=str(task), checkpoint=checkpoint, seed=0)
        return self._shelf.estimate(request).size

    def loras(self) -> tuple[Lora, ...]:
        """Return the adapters that clients may name."""
        return loras_in(self.settings.loras)

    # Tickets

    def submit(self, requests: Sequence[Request], owner: str) -> Ticket:
        """Queue requests that are drawn one after the other.

        Raises:
            BusyError: if the queue is full.
            StoppingError: if the studio is closed.
            LimitError: if there are too many, or their checkpoint can't fit into memory.
        """
        limits = self.settings.limits
        if not 1 <= len(requests) <= limits.images:
            raise LimitError(
                f"{len(requests):,} images were asked for, and this server draws from 1 to "
                f"{limits.images:,} at once; ask for fewer"
            )
        for request in {one.with_seed(0).model_dump_json(): one for one in requests}.values():
            self._shelf.check(request, self._size(request))
        ticket = Ticket(secrets.token_hex(16), owner, tuple(requests), stop=self._stop)
        with self._changed:
            if self._closed:
                raise StoppingError
            idle = len(self._threads) - len(self._drawing)
            if len(self._queue) >= limits.queue + idle:
                self._counts["refused"] += 1
                seconds = self._seconds()
                raise BusyError(
                    f"{len(self._queue):,} requests are waiting, and this server takes no more; "
                    f"try again in {seconds} seconds",
                    seconds,
                )
            ticket.position = len(self._queue)
            ticket.tell(Event("state", "queued"))
            self._tickets[ticket.id] = ticket
            self._queue.append(ticket)
            self._changed.notify()
        return ticket

    def ticket(self, id: str) -> Ticket | None:
        """Return the ticket of an id, as long as it is kept."""
        return self._tickets.get(id)

    def stats(self) -> Stats:
        """Return the numbers for metrics."""
        held = self._shelf.held()
        with self._changed:
            return Stats(
                queued=len(self._queue),
                drawing=len(self._drawing),
                **{n: self._counts[n] for n in ("done", "failed", "cancelled", "refused")},
                images=self._counts["images"],
                memory={self.names.of_checkpoint(path): size for path, size in held.items()},
            )

    def close(self, seconds: float = 30) -> None:
        """Take nothing more, wait for what is being drawn, cancel the rest, give memory back.

        Args:
            seconds: how long what is being drawn may take; then it is cancelled, too.
        """
        with self._changed:
            self._closed = True
            for ticket in tuple(self._queue):
                self._stop(ticket)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._drawing, timeout=seconds)
            for drawing in tuple(self._drawing.values()):
                self._stop(drawing.ticket)
        for thread in self._threads:
            thread.join(timeout=max(seconds, 1))
        self._shelf.close()

    # Within the threads

    def _work(self) -> None:
        from .drawing import Drawing

        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                ticket = self._queue.popleft()
                self._number()
                drawing = self._drawing[ticket.id] = Drawing(ticket, self.settings, self._shelf)
            try:
                state = drawing.run(self._size, self.names.public)
            except BaseException as error:  # A thread that ended would never draw again.
                state = drawing.failed(error)
            with self._changed:
                del self._drawing[ticket.id]
                self._counts["images"] += len(ticket.files)
                if state == "done":
                    self._recent.append(time.time() - ticket.begun)
                self._end(ticket, state)
                self._changed.notify_all()
            del drawing, ticket

    def _stop(self, ticket: Ticket) -> bool:
        """Cancel a ticket; see `Ticket.cancel`."""
        with self._changed:
            if ticket in self._queue:
                self._queue.remove(ticket)
                self._number()
                self._end(ticket, "cancelled")
                return True
            drawing = self._drawing.get(ticket.id)
            if drawing is None:
                return False
            drawing.cancelled.set()
        self._shelf.room.wake()
        return True

    def _number(self) -> None:
        for position, ticket in enumerate(self._queue):
            ticket.position = position

    def _end(self, ticket: Ticket, state: State) -> None:
        """Forget the ticket that ended longest ago, and end this one.

        Clients of what a closed studio cancels are told to ask again, since another one draws it.
        Its clients are told last: what they then ask for is there, and what is forgotten is gone.
        """
        ticket.ended, ticket.position = time.time(), 0
        ticket.stop = _is_over
        if state == "cancelled" and self._closed:
            ticket.failure, ticket.error = StoppingError, str(StoppingError())
        self._counts[state] += 1
        self._over[ticket.id] = ticket
        if len(self._over) > _LIVELY:
            [*self._over.values()][-_LIVELY - 1].settle()
        while len(self._over) > self.settings.limits.results:
            id, old = self._over.popitem(last=False)
            self._tickets.pop(id, None)
            for file in old.files:
                with suppress(OSError):
                    file.unlink(missing_ok=True)
        ticket.tell(Event("state", state))
        for tell in self.on_over:
            try:
                tell(ticket)
            except Exception:
                _log.exception("a function for tickets that are over failed")

    def _seconds(self) -> int:
        """Return after how many seconds there is probably a place in the queue."""
        mean = sum(self._recent) / len(self._recent) if self._recent else 1.0
        return min(max(1, round(mean / len(self._threads) + 0.5)), _LONGEST_WAIT)

    # Facts

    def _size(self, request: Request) -> tuple[int, int] | None:
        """Return width and height in pixels of the result of a request; None if unknown."""
        return size_of(request, self._shelf.estimate(request).size)


def _is_over(ticket: Ticket) -> bool:
    return False
