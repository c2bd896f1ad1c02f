"""Cascades are in `autopipe_components.cascade`; the names that this module had lead there."""

from __future__ import annotations

from typing import Any

from .resolution.moved import load_moved

_NAMES = ["FirstStage", "cascade", "load_stage"]


def __getattr__(name: str) -> Any:
    return load_moved(__name__, _NAMES, "autopipe_components.cascade", name)
