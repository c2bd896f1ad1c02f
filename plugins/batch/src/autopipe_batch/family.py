"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Command, Manifest, Runner


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    return Manifest(
        "batch",
        commands=(Command("batch", "autopipe_batch.command:declare", "draw a file of jobs"),),
        runners=(Runner("local", "autopipe_batch.local:run"),),
    )
