"""This server's own API: tasks, requests with events, uploads, settings of pictures, and health."""

from __future__ import annotations

from fastapi import APIRouter

from autopipe.registry import Registry, default_registry

from ..settings import Settings
from ..studio import Studio
from . import health, pictures, requests, tasks, uploads
from .store import Store

__all__ = ["router"]


def router(studio: Studio, settings: Settings, registry: Registry | None = None) -> APIRouter:
    """Return the routes."""
    installed, store = registry or default_registry(), Store(settings)
    found = APIRouter()
    found.include_router(health.router())
    found.include_router(tasks.router(studio, settings, installed))
    found.include_router(requests.router(studio, settings, installed, store))
    found.include_router(uploads.router(store))
    found.include_router(pictures.router(studio, settings, installed))
    return found
