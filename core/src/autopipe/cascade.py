"""Cascades are in `autopipe_components.cascade`; this module forwards its former names there."""

from __future__ import annotations

from .resolution.moved import forward

__getattr__ = forward(
    __name__, "autopipe_components.cascade", "FirstStage", "cascade", "load_stage"
)
