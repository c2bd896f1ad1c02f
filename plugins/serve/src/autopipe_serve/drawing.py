"""Draws one ticket in a thread of the studio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

from autopipe.errors import AutopipeError, CancelledError
from autopipe.wording import cut, error_text, logger, reason
from autopipe_requests.drawing import Drawn, draw
from autopipe_requests.opening import Ready
from autopipe_requests.request import Request
from autopipe_requests.stepping import Step

from .settings import Settings
from .sharing.engine import share
from .tickets import Event, State, Ticket

if TYPE_CHECKING:
    from .shelf import Shelf

_log = logger(__name__)

_BETWEEN_PREVIEWS = 0.5
"""Seconds."""

_PREVIEW_SIDE = 256
"""The longer side of a preview in pixels at most."""

_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")

SizeOf: TypeAlias = Callable[[Request], tuple[int, int] | None]


class Drawing:
    """A ticket that is being drawn. It is the `cancellation` of the calls.

    Args:
        ticket: the ticket.
        settings: the settings.
        shelf: the checkpoints.

    Attributes:
        cancelled: set to cancel it.
    """

    def __init__(self, ticket: Ticket, settings: Settings, shelf: Shelf) -> None:
        self.ticket, self.cancelled = ticket, threading.Event()
        self._settings, self._shelf = settings, shelf
        self._left = settings.limits.seconds
        self._until = float("inf")
        self._shown = float("-inf")
        self._shows = settings.previews
        self._image = 0

    def is_set(self) -> bool:
        """Whether the call has to end: it was cancelled, or its time is over."""
        return self.cancelled.is_set() or self._is_late()

    def _is_late(self) -> bool:
        return time.monotonic() > self._until

    def run(self, size_of: SizeOf, public: Callable[[Request], Request]) -> State:
        """Draw and write the images one after the other; return what became of the ticket.

        Args:
            size_of: returns the size of a result in pixels.
            public: returns a request as it is written into results.
        """
        ticket = self.ticket
        ticket.begun = time.time()
        ticket.tell(Event("state", "drawing"))
        try:
            for self._image, request in enumerate(ticket.requests):
                for drawn in self._drawn(request, size_of(request)):
                    self._write(drawn, public)
        except CancelledError as error:
            if self.cancelled.is_set() or not self._is_late():
                return "cancelled"
            seconds = self._settings.limits.seconds
            ticket.failure = type(error)
            ticket.error = (
                f"the request took longer than the {seconds:,g} seconds that this server gives "
                f"one; ask for fewer images, fewer steps or a smaller size"
            )
            return "failed"
        except Exception as error:
            return self.failed(error)
        ticket.progress = 1.0
        return "done"

    def failed(self, error: BaseException) -> State:
        """Say why the ticket failed."""
        self.ticket.failure = type(error)
        text = error_text(error) if isinstance(error, AutopipeError) else reason(error)
        if isinstance(error, MemoryError) or any(one in text.lower() for one in _NO_MEMORY):
            text = (
                f"there is too little memory to draw this; give a smaller size ({cut(text, 300)})"
            )
        elif not isinstance(error, AutopipeError):
            _log.error("a request failed", exc_info=error)
            text = f"drawing failed ({text}); tell the operator of this server"
        self.ticket.error = text
        return "failed"

    def _drawn(self, request: Request, size: tuple[int, int] | None) -> list[Drawn]:
        with self._shelf.using(request, size, self.cancelled.is_set):
            try:
                return draw(
                    [request],
                    self._shelf,
                    cancellation=self,
                    before=self._begin,
                    on_step=self._step,
                )
            finally:
                # Loading and waiting for memory don't count.
                if self._until != float("inf") and not self.is_set():
                    self._left, self._until = self._until - time.monotonic(), float("inf")

    def _begin(self, ready: Ready) -> None:
        for pipe in (ready.pipe, *ready.stages):
            if self._settings.sharing:
                share(pipe)
            silence: Any = getattr(pipe, "set_progress_bar_config", None)
            if silence is not None:
                silence(disable=True)
        self._shelf.measure(self.ticket.requests[self._image], ready)
        self._until = time.monotonic() + self._left

    def _step(self, step: Step) -> None:
        ticket, image = self.ticket, self._image
        done = (image + min(step.number / step.steps, 1.0)) / len(ticket.requests)
        # The last part is for decoding and writing.
        ticket.progress = max(ticket.progress, min(done, 0.99))
        event = Event("step", "drawing", image, step.number, step.steps)
        ticket.tell(event)
        if not self._shows or time.monotonic() - self._shown < _BETWEEN_PREVIEWS:
            return
        try:
            picture = step.preview()
        except Exception as error:  # It is only for looking at.
            _log.warning("no preview: %s", reason(error))
            picture = None
        if picture is None:
            self._shows = False
            return
        self._shown = time.monotonic()
        picture.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
        stream = BytesIO()
        picture.save(stream, format="PNG")
        ticket.tell(replace(event, kind="preview", preview=stream.getvalue()))

    def _write(self, drawn: Drawn, public: Callable[[Request], Request]) -> None:
        ticket = self.ticket
        request = public(drawn.record.request)
        record = drawn.record.model_copy(update={"request": request, "id": request.id})
        name = f"{ticket.id}-{len(ticket.files)}{drawn.suffix}"
        file = replace(drawn, record=record).save(self._settings.folder / name)
        ticket.files.append(file)
        ticket.progress = max(ticket.progress, len(ticket.files) / len(ticket.requests) * 0.99)
        ticket.tell(Event("image", "drawing", image=self._image, file=file))
