"""`/health`, `/ready` and `/metrics`: what balancers and monitors ask for."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from ..metrics import CONTENT_TYPE
from ..studio import StoppingError


def router() -> APIRouter:
    """Return the routes."""
    found = APIRouter()

    @found.get("/health")
    async def health() -> dict[str, str]:
        """Whether the server lives."""
        return {"status": "ok"}

    @found.get("/ready")
    async def ready(request: Request) -> dict[str, str]:
        """Whether the server takes requests: 503 while it ends."""
        if request.app.state.closing.begun:
            raise StoppingError
        return {"status": "ready"}

    @found.get("/metrics")
    def metrics(request: Request) -> Response:
        """Return the metrics, for Prometheus."""
        return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE)

    return found
