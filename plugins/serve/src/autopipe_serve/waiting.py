"""Waits for tickets in the name of clients, which may go away."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from .studio import Ticket


def note(request: Request, ticket: Ticket) -> None:
    """Remember the ticket of a request for the log."""
    request.state.ticket = ticket


async def drawn(request: Request, ticket: Ticket) -> Ticket:
    """Wait until a ticket is finished, and return it; it is cancelled if the client goes away.

    The body of the request must have been read.

    Raises:
        ClientDisconnect: if the client went away; nobody reads an answer.
    """
    note(request, ticket)
    finished = asyncio.ensure_future(ticket.finished())
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((finished, gone), return_when=asyncio.FIRST_COMPLETED)
        if not finished.done():
            ticket.cancel()
            await finished  # Its files are still in use.
            raise ClientDisconnect
        return finished.result()
    except asyncio.CancelledError:
        ticket.cancel()
        raise
    finally:
        finished.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
