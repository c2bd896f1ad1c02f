"""The API of AUTOMATIC1111's web UI, written from its public behaviour."""

from __future__ import annotations

from .routes import router

__all__ = ["router"]
