"""The conformance kit is `autopipe_devkit.conformance`; the name that this module had leads there.

`python -m pip install autopipe-devkit` brings it.
"""

from __future__ import annotations

from typing import Any

from .resolution.moved import load_moved

_NAMES = ["Conformance"]


def __getattr__(name: str) -> Any:
    return load_moved(__name__, _NAMES, "autopipe_devkit.conformance", name)
