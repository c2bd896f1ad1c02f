"""Waiting for tickets in the name of clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from autopipe_serve.studio import Event, Ticket
from autopipe_serve.waiting import drawn


def requested(receive: Any) -> Request:
    return Request({"type": "http", "headers": [], "state": {}}, receive)


def test_a_ticket_that_is_finished_is_returned() -> None:
    async def drive() -> None:
        ticket = Ticket("0" * 32, "", ())

        async def receive() -> dict[str, str]:
            await asyncio.sleep(60)
            raise AssertionError

        request = requested(receive)
        waiting = asyncio.ensure_future(drawn(request, ticket))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        ticket.tell(Event("state", "done"))
        assert await waiting is ticket
        assert request.state.ticket is ticket

    asyncio.run(drive())


def test_a_client_that_goes_away_cancels() -> None:
    async def drive() -> None:
        asked: list[Ticket] = []

        def stop(ticket: Ticket) -> bool:
            asked.append(ticket)
            asyncio.get_running_loop().call_later(0.05, ticket.tell, Event("state", "cancelled"))
            return True

        ticket = Ticket("0" * 32, "", (), stop=stop)
        messages = [{"type": "http.disconnect"}, {"type": "http.request", "body": b""}]

        async def receive() -> dict[str, Any]:
            return messages.pop()

        with pytest.raises(ClientDisconnect):
            await drawn(requested(receive), ticket)
        assert asked == [ticket]
        assert ticket.state == "cancelled"  # It waits until nothing is drawn any more.

    asyncio.run(drive())


def test_a_handler_that_is_ended_cancels() -> None:
    async def drive() -> None:
        asked: list[Ticket] = []
        ticket = Ticket("0" * 32, "", (), stop=lambda one: bool(asked.append(one)))
        waiting = asyncio.ensure_future(drawn(requested(asyncio.Event().wait), ticket))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert asked == [ticket]

    asyncio.run(drive())
