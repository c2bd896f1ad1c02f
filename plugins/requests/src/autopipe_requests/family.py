"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Command, Manifest


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    show = Command(
        "show", "autopipe_requests.commands.show:declare", "show the settings that are in pictures"
    )
    return Manifest("requests", commands=(show,))
