"""Server-sent events (WHATWG HTML, section 9.2): what happens to a request, while it happens."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

from ..studio import Event, Ticket

HEARTBEAT = 15.0
"""The seconds after which an empty line is sent, since proxies end connections that are silent."""


async def streamed(ticket: Ticket, after: int = 0) -> AsyncIterator[str]:
    """Yield the events of a ticket after a number, as text, until it is over.

    A client that goes away doesn't cancel the request; it can come back with the last number.
    """
    events = ticket.events(after)
    pending: asyncio.Future[tuple[int, Event]] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext_of(events))
            await asyncio.wait({pending}, timeout=HEARTBEAT)
            if not pending.done():
                yield ": waiting\n\n"
                continue
            try:
                number, event = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            data = json.dumps(_data(ticket, event))
            yield f"id: {number}\nevent: {event.kind}\ndata: {data}\n\n"
    finally:
        if pending is not None:
            pending.cancel()


async def anext_of(events: AsyncIterator[tuple[int, Event]]) -> tuple[int, Event]:
    """Return the next event, as a coroutine."""
    return await events.__anext__()


def _data(ticket: Ticket, event: Event) -> dict[str, Any]:
    found: dict[str, Any] = {
        "state": event.state,
        "image": event.image,
        "step": event.step,
        "steps": event.steps,
    }
    if event.preview is not None:
        found["preview"] = base64.b64encode(event.preview).decode()
    if event.file is not None:
        found["result"] = f"/requests/{ticket.id}/results/{event.image}"
    if event.kind == "state":
        found |= {"position": ticket.position, "error": ticket.error}
    return found
