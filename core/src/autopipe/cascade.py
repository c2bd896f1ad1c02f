"""Cascades are in `autopipe_components.cascade`; the names that this module had lead there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .moved import load_moved

if TYPE_CHECKING:
    from autopipe_components.cascade import FirstStage as FirstStage
    from autopipe_components.cascade import cascade as cascade
    from autopipe_components.cascade import load_stage as load_stage

__all__ = ["FirstStage", "cascade", "load_stage"]


def __getattr__(name: str) -> Any:
    return load_moved(__name__, __all__, "autopipe_components.cascade", name)
