"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Command, Manifest


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    commands = "autopipe_requests.commands"
    return Manifest(
        "requests",
        commands=(
            Command("replay", f"{commands}.replay:declare", "draw a picture again"),
            Command("schema", f"{commands}.schema:declare", "print what a request may contain"),
            Command("show", f"{commands}.show:declare", "print the settings in pictures"),
        ),
    )
