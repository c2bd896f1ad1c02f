"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Manifest, Runner


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    return Manifest("batch", runners=(Runner("local", "autopipe_batch.local:run"),))
