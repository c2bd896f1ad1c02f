"""Images as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from autopipe.wording import logger

from ..errors import check_drawn, failure_of, openai
from ..studio import Event, Ticket
from .answers import BACKGROUND, encoded, encoded_preview, size_text, usage
from .parameters import Order

HEARTBEAT = 15.0
"""The seconds of silence after which a comment is sent, so that nobody closes the connection."""

_logger = logger(__name__)
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """An answer of events, which begins with the first of them.

    An error before that is raised, so that it is answered with its status; later ones are sent as
    events.

    Args:
        content: the events.
        end: is called when the last one is sent or the client is gone.
    """

    def __init__(self, content: AsyncIterator[bytes], end: Callable[[], object]) -> None:
        super().__init__(content, headers=_HEADERS, media_type="text/event-stream")
        self._events, self._end = content, end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()

    async def stream_response(self, send: Send) -> None:
        """Wait for the first event, and send it and the others."""
        first = await anext(self._events, b"")
        self.body_iterator = _with_errors(first, self._events)
        await super().stream_response(send)


async def _with_errors(first: bytes, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    try:
        async for event in events:
            yield event
    except Exception as error:
        failure = failure_of(error)
        if failure.status == 500:
            # Its text can have a prompt in it.
            _logger.error("a stream of images failed with %s", type(error).__name__)
        yield f"event: error\ndata: {json.dumps(dict(openai(failure)))}\n\n".encode()


async def events_of(ticket: Ticket, order: Order, kind: str) -> AsyncIterator[bytes]:
    """Yield the events of a ticket: for each image its previews, then the image.

    Args:
        kind: `image_generation` or `image_edit`, the first part of the types of events.

    Raises:
        Refusal, StoppingError: if the ticket fails or is cancelled.
    """
    sent = [0] * len(ticket.requests)
    async for event in _followed(ticket):
        if event is None:
            yield b": waiting\n\n"
        elif event.kind == "preview" and event.preview and _is_due(event, sent, order):
            text = await run_in_threadpool(encoded_preview, event.preview, order)
            size = ticket.requests[event.image].size
            told = {
                "b64_json": text,
                "size": size_text(size) if size else "auto",
                "partial_image_index": sent[event.image],
            }
            sent[event.image] += 1
            yield _event(f"{kind}.partial_image", told, order)
        elif event.kind == "image" and event.file is not None:
            yield await _completed(event.file, order, kind)
    check_drawn(ticket)


def _is_due(event: Event, sent: list[int], order: Order) -> bool:
    """Whether a preview is sent: they are spread evenly over the steps of the image."""
    number = sent[event.image] + 1
    done = event.step / event.steps if event.steps else 1.0
    return number <= order.partials and done * (order.partials + 1) >= number


async def _completed(file: Path, order: Order, kind: str) -> bytes:
    made = await run_in_threadpool(encoded, file, order)
    told = {"b64_json": made.text, "size": size_text(made.size), "usage": usage()}
    return _event(f"{kind}.completed", told, order)


def _event(kind: str, fields: Mapping[str, Any], order: Order) -> bytes:
    told = {
        "type": kind,
        "created_at": int(time.time()),
        "background": BACKGROUND,
        "output_format": order.format,
        "quality": order.quality,
        **fields,
    }
    return f"event: {kind}\ndata: {json.dumps(told)}\n\n".encode()


async def _followed(ticket: Ticket) -> AsyncIterator[Event | None]:
    """Yield the events of a ticket, and None after each silence."""
    after = 0
    while True:
        events = ticket.events(after)
        try:
            while True:
                after, event = await asyncio.wait_for(anext(events), HEARTBEAT)
                yield event
        except asyncio.TimeoutError:
            yield None
        except StopAsyncIteration:
            return
