"""The images API of OpenAI, as its clients and those of other servers speak it."""

from __future__ import annotations

from .routes import router

__all__ = ["router"]
