"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Command, Manifest


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    about = "draw in a page of the browser"
    return Manifest("ui", commands=(Command("ui", "autopipe_ui.command:declare", about),))
