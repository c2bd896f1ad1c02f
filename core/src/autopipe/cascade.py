"""Cascades are in `autopipe_components.cascade`; the names that this module had lead there."""

from __future__ import annotations

from .resolution.moved import forward

__getattr__ = forward(
    __name__, "autopipe_components.cascade", "FirstStage", "cascade", "load_stage"
)
