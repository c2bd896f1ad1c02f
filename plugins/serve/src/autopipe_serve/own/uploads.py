"""`POST /uploads`: a file, sent once, for requests that name it by its id."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from ..errors import Refusal
from ..security import owner_of
from .bodies import file_in
from .store import Store

_KINDS = ("image", "mask", "video", "audio")


def router(store: Store) -> APIRouter:
    """Return the route."""
    found = APIRouter()

    @found.post("/uploads", status_code=201)
    async def upload(request: Request, kind: str = "image") -> dict[str, str]:
        """Keep a file: the field `file` of a form, or of JSON in base64."""
        if kind not in _KINDS:
            raise Refusal(400, f"kind is one of {', '.join(_KINDS)}", param="kind")
        content = await file_in(request)
        return {"id": await run_in_threadpool(store.add, content, owner_of(request), kind)}

    return found
