"""The conformance kit is `autopipe_devkit.conformance`; the name that this module had leads there.

`python -m pip install autopipe-devkit` brings it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .moved import load_moved

if TYPE_CHECKING:
    from autopipe_devkit.conformance import Conformance as Conformance

__all__ = ["Conformance"]


def __getattr__(name: str) -> Any:
    return load_moved(__name__, __all__, "autopipe_devkit.conformance", name)
