"""The studio: draws the requests of many clients, some at a time, with a bounded queue.

It knows nothing of HTTP. A client submits requests and gets a ticket, by which it follows, cancels
and fetches them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from autopipe.errors import AutopipeError
from autopipe.registry import Registry
from autopipe_requests.request import Request

from .settings import Settings

State: TypeAlias = Literal["queued", "drawing", "done", "failed", "cancelled"]


class BusyError(AutopipeError):
    """The queue is full.

    Attributes:
        seconds: when to try again.
    """

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class LimitError(AutopipeError):
    """A request exceeds a limit of the server."""


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


@dataclass
class Ticket:
    """Requests that were submitted together, one for each image.

    Attributes:
        id: 32 random hexadecimal digits.
        owner: who submitted them: the API, or a hash of the key.
        requests: the requests.
        state: what became of them.
        files: the written files so far, in the order of the requests.
        error: why they failed, for people; None otherwise.
        position: the number of tickets before it in the queue.
        progress: the finished part, 0 to 1; exactly 0 while it waits.
    """

    id: str
    owner: str
    requests: tuple[Request, ...]
    state: State = "queued"
    files: list[Path] = field(default_factory=list)
    error: str | None = None
    position: int = 0
    progress: float = 0.0

    def cancel(self) -> bool:
        """Ask to stop; return whether it was still queued or being drawn."""
        raise NotImplementedError

    async def finished(self) -> Ticket:
        """Wait until it is done, failed or cancelled."""
        raise NotImplementedError

    def events(self, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        """Yield the events with their numbers from 1, first those that happened already."""
        raise NotImplementedError


class Studio:
    """Draws requests.

    Args:
        settings: the settings.
        registry: the installed packages.
    """

    def __init__(self, settings: Settings, registry: Registry | None = None) -> None:
        raise NotImplementedError

    def complete(self, given: Mapping[str, Any], folder: Path | None = None) -> Request:
        """Return the checked request that a client describes, within the limits.

        Clients name models by the names of `Settings.models`, adapters by file names in
        `Settings.loras`, and files only in `folder`, where their uploads are.

        Raises:
            LimitError: if it exceeds a limit.
            AutopipeError: as for `Completion.complete`.
        """
        raise NotImplementedError

    def submit(self, requests: Sequence[Request], owner: str) -> Ticket:
        """Queue requests that are drawn one after the other.

        Raises:
            BusyError: if the queue is full.
            LimitError: if there are too many, or their checkpoint can't fit into memory.
        """
        raise NotImplementedError

    def ticket(self, id: str) -> Ticket | None:
        """Return the ticket of an id, as long as it is kept."""
        raise NotImplementedError

    def close(self, seconds: float = 30) -> None:
        """Take nothing more, wait for what is being drawn, cancel the rest, give memory back."""
        raise NotImplementedError
