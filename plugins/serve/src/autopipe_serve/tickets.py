"""Tickets: what clients follow, cancel and fetch by."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from autopipe_requests.request import Request

State: TypeAlias = Literal["queued", "drawing", "done", "failed", "cancelled"]

OVER: tuple[State, ...] = ("done", "failed", "cancelled")
"""The states of tickets to which nothing happens any more."""

_Waiting: TypeAlias = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


@dataclass(frozen=True)
class Event:
    """Something that happened to a ticket.

    Attributes:
        kind: `state` at a change of the state, `step` after a denoising step, `preview` with an
            image, `image` when a result is written.
        image: which of the ticket's images it is about, from 0.
        step: the number of finished steps of that image.
        steps: the number of its steps; 0 if unknown.
        preview: a PNG for `preview`, else None.
        file: the written file for `image`, else None.
    """

    kind: Literal["state", "step", "preview", "image"]
    state: State
    image: int = 0
    step: int = 0
    steps: int = 0
    preview: bytes | None = None
    file: Path | None = None


@dataclass(eq=False)
class Ticket:
    """Requests that were submitted together, one for each image.

    Attributes:
        id: 32 random hexadecimal digits.
        owner: who submitted them: the API, or a hash of the key.
        requests: the requests.
        state: what became of them.
        files: the written files so far, in the order of the requests.
        error: why they failed, for people; None otherwise.
        failure: the class of the exception that they failed with; None otherwise.
        position: the number of tickets before it in the queue.
        progress: the finished part, 0 to 1; exactly 0 while it waits.
        created, begun, ended: when it was submitted, began to be drawn, and was over, in seconds
            since 1970; 0 before that.
    """

    id: str
    owner: str
    requests: tuple[Request, ...]
    state: State = "queued"
    files: list[Path] = field(default_factory=list)
    error: str | None = None
    failure: type[BaseException] | None = None
    position: int = 0
    progress: float = 0.0
    created: float = field(default_factory=time.time)
    begun: float = 0.0
    ended: float = 0.0
    stop: Callable[[Ticket], bool] = field(default=lambda _: False, repr=False)
    _happened: dict[int, Event] = field(default_factory=dict, repr=False)
    _last: int = field(default=0, repr=False)
    _waiting: set[_Waiting] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def is_over(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in OVER

    def cancel(self) -> bool:
        """Ask to stop; return whether it was still queued or being drawn."""
        return self.stop(self)

    async def finished(self) -> Ticket:
        """Wait until it is done, failed or cancelled."""
        while not self.is_over:
            await self._changed(self._last)
        return self

    async def events(self, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        """Yield the events with their numbers from 1, first those that happened already.

        The iteration ends with the change of the state to done, failed or cancelled. Of previews
        only the latest is kept, and of a ticket that has been over for a while only the last step
        of each image and no preview, so numbers may be missing.

        Args:
            after: the number of the last event that the listener knows.
        """
        while True:
            with self._lock:
                over = self.is_over
                new = [(number, one) for number, one in self._happened.items() if number > after]
            for number, event in new:
                after = number
                yield number, event
            if over:
                return
            await self._changed(after)

    # For the studio

    def tell(self, event: Event) -> None:
        """Add an event and wake the listeners; a `state` event changes the state."""
        with self._lock:
            if self.is_over:
                return
            if event.kind == "preview":
                self._forget(lambda one: one.kind == "preview")
            if event.kind == "state":
                self.state = event.state
            self._last += 1
            self._happened[self._last] = event
            waiting, self._waiting = self._waiting, set()
        for loop, future in waiting:
            with suppress(RuntimeError):  # a loop that was closed
                loop.call_soon_threadsafe(_wake, future)

    def settle(self) -> None:
        """Keep of a ticket that has been over for a while only what is little."""
        with self._lock:
            last = {id(one) for one in {e.image: e for e in self._steps()}.values()}
            self._forget(lambda one: one.kind == "preview")
            self._forget(lambda one: one.kind == "step" and id(one) not in last)

    def _steps(self) -> list[Event]:
        return [one for one in self._happened.values() if one.kind == "step"]

    def _forget(self, unwanted: Callable[[Event], bool]) -> None:
        for number in [number for number, one in self._happened.items() if unwanted(one)]:
            del self._happened[number]

    async def _changed(self, after: int) -> None:
        """Wait until there is an event after the one of this number."""
        loop = asyncio.get_running_loop()
        waiting = loop, loop.create_future()
        with self._lock:
            if self._last > after or self.is_over:
                return
            self._waiting.add(waiting)
        try:
            await waiting[1]
        finally:
            with self._lock:
                self._waiting.discard(waiting)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
