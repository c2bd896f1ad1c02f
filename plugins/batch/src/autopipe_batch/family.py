"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Manifest


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    return Manifest("batch")
