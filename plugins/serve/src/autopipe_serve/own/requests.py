"""`/requests`: what a client wants drawn, what becomes of it, and the results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, StreamingResponse

from autopipe.registry import Registry
from autopipe.wording import shown
from autopipe_requests.request import Request as Drawing

from ..errors import Refusal
from ..security import owner_of
from ..settings import Settings
from ..studio import Studio, Ticket
from ..uploads import Uploads
from ..waiting import note
from .bodies import object_in
from .events import streamed
from .files import Files
from .store import Store

TYPES: Mapping[str, str] = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".wav": "audio/wav",
}
"""The content types of results by suffix; of others it is `application/octet-stream`."""


def router(studio: Studio, settings: Settings, registry: Registry, store: Store) -> APIRouter:
    """Return the routes."""
    found = APIRouter(prefix="/requests")

    def ticket_of(request: Request, id: str) -> Ticket:
        ticket = studio.ticket(id)
        if ticket is None or ticket.owner != owner_of(request):
            raise Refusal(404, f"there is no request {shown(id, 40)}, or it is no longer kept")
        note(request, ticket)
        return ticket

    @found.post("", status_code=202)
    async def create(request: Request, response: Response) -> dict[str, Any]:
        """Queue a request, as `Completion.complete` takes it, with `images`, their number."""
        given, owner = await object_in(request), owner_of(request)
        count = _count(given.pop("images", 1), settings)
        uploads = await run_in_threadpool(Uploads, settings)
        try:
            drawings = await run_in_threadpool(complete, given, count, owner, uploads)
            ticket = await run_in_threadpool(studio.submit, drawings, owner)
        except BaseException:
            uploads.close()
            raise
        uploads.close_after(ticket)
        note(request, ticket)
        response.headers["Location"] = f"/requests/{ticket.id}"
        return state_of(ticket)

    def complete(
        given: Mapping[str, Any], count: int, owner: str, uploads: Uploads
    ) -> list[Drawing]:
        files = Files(uploads, store, owner, registry)
        first = studio.complete(files.written(given), uploads.folder)
        return [first.with_seed((first.seed + i) % 2**63) for i in range(count)]

    @found.get("/{id}")
    async def state(request: Request, id: str) -> dict[str, Any]:
        """Return what became of a request."""
        return state_of(ticket_of(request, id))

    @found.delete("/{id}")
    async def cancel(request: Request, id: str) -> dict[str, Any]:
        """Cancel a request; `cancelled` is false if it was over."""
        ticket = ticket_of(request, id)
        cancelled = ticket.cancel()
        return {**state_of(ticket), "cancelled": cancelled}

    @found.get("/{id}/events")
    async def events(request: Request, id: str, after: int = 0) -> Response:
        """Stream what happens to a request, from the beginning or after `Last-Event-ID`."""
        ticket = ticket_of(request, id)
        last = request.headers.get("last-event-id", "")
        if last.isascii() and last.isdigit() and len(last) < 10:
            after = int(last)
            if ticket.is_over and not await _has_more(ticket, after):
                return Response(status_code=204)  # Browsers then stop to connect again.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        stream = streamed(ticket, max(0, after))
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    @found.head("/{id}/results/{number}", include_in_schema=False)
    @found.get("/{id}/results/{number}")
    async def result(request: Request, id: str, number: int) -> Response:
        """Return a written file, which carries its settings."""
        ticket = ticket_of(request, id)
        file = ticket.files[number] if 0 <= number < len(ticket.files) else None
        if file is None or not file.is_file():
            raise Refusal(404, f"result {shown(number)} of this request isn't there (yet)")
        headers = {
            "ETag": f'"{ticket.id}-{number}"',
            "Cache-Control": "private, max-age=86400, immutable",
        }
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        kind = TYPES.get(file.suffix.lower(), "application/octet-stream")
        return FileResponse(
            file, media_type=kind, headers=headers, filename=Path(file).name,
            content_disposition_type="inline",
        )  # fmt: skip

    return found


def state_of(ticket: Ticket) -> dict[str, Any]:
    """Return what clients are told about a ticket."""
    path = f"/requests/{ticket.id}"
    return {
        "id": ticket.id,
        "state": ticket.state,
        "position": ticket.position,
        "progress": ticket.progress,
        "error": ticket.error,
        "images": [{"id": one.id, "seed": one.seed} for one in ticket.requests],
        "results": [f"{path}/results/{i}" for i in range(len(ticket.files))],
        "links": {"self": path, "events": f"{path}/events"},
    }


def _count(given: Any, settings: Settings) -> int:
    most = settings.limits.images
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= most:
        raise Refusal(
            400, f"images {shown(given)} is not valid: it is a number from 1 to {most}",
            param="images",
        )  # fmt: skip
    return given


async def _has_more(ticket: Ticket, after: int) -> bool:
    async for _ in ticket.events(after):
        return True
    return False
