"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Command, Manifest

_COMMANDS = "autopipe_requests.commands"


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    return Manifest(
        "requests",
        commands=(
            Command("schema", f"{_COMMANDS}.schema:declare", "print what a request can contain"),
        ),
    )
