"""The calls that the API is drawing, for its routes about progress, interruption and options.

These routes name no call. They are about the oldest call that is being drawn, of those with the
same key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..studio import Ticket
from .bodies import Options

_LEAST = 0.01
"""The progress of a call that has not finished a step; 0 means that there is no call."""


@dataclass(eq=False)
class Job:
    """One call.

    Attributes:
        total: the number of images that it draws, those of all passes.
        ticket: what it waits for.
        finished: how many of the images are drawn or skipped.
        image: the image that is being drawn, of those of the ticket, from 0.
        step: how many of its steps are done.
        steps: the number of its steps.
        preview: the image so far, a PNG.
        interrupted: whether it stops with what is drawn.
        skipped: whether it goes on with the next image.
        created: when it came, in seconds since 1970.
    """

    total: int
    ticket: Ticket | None = None
    finished: int = 0
    image: int = 0
    step: int = 0
    steps: int = 0
    preview: bytes | None = None
    interrupted: bool = False
    skipped: bool = False
    created: float = field(default_factory=time.time)

    @property
    def is_drawing(self) -> bool:
        """Whether something of it is drawn, or has been."""
        return self.finished > 0 or (self.ticket is not None and self.ticket.state == "drawing")

    @property
    def progress(self) -> float:
        """The finished part, more than 0 and at most 1."""
        ticket = self.ticket
        drawn = 0.0 if ticket is None else ticket.progress * len(ticket.requests)
        return min(1.0, max(_LEAST, (self.finished + drawn) / self.total))

    @contextmanager
    def waiting_for(self, ticket: Ticket) -> Iterator[None]:
        """Follow the events of a ticket for as long as its images are waited for."""
        self.ticket, self.step, self.image = ticket, 0, 0
        following = asyncio.ensure_future(self._follow(ticket))
        try:
            yield
        finally:
            following.cancel()
            self.ticket = None

    async def _follow(self, ticket: Ticket) -> None:
        async for _, event in ticket.events():
            if event.kind == "step":
                self.image, self.step, self.steps = event.image, event.step, event.steps
            elif event.kind == "preview":
                self.preview = event.preview

    def interrupt(self) -> None:
        """Stop with what is drawn."""
        self.interrupted = True
        if self.ticket is not None:
            self.ticket.cancel()

    def skip(self) -> None:
        """Go on with the next image."""
        if self.ticket is not None and self.ticket.state == "drawing":
            self.skipped = True
            self.ticket.cancel()


@dataclass(eq=False)
class Desk:
    """What the clients with one key share.

    Attributes:
        options: what they have set.
        jobs: their calls, the oldest first.
    """

    options: Options = field(default_factory=Options)
    jobs: list[Job] = field(default_factory=list)

    @contextmanager
    def job(self, total: int) -> Iterator[Job]:
        """A call from when it comes to its answer."""
        job = Job(total)
        self.jobs.append(job)
        try:
            yield job
        finally:
            self.jobs.remove(job)

    @property
    def current(self) -> Job | None:
        """The oldest call that is being drawn."""
        return next((job for job in self.jobs if job.is_drawing), None)
