"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Command, Engine, Manifest


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    target = "autopipe_serve.command:declare"
    return Manifest(
        "serve",
        commands=(Command("serve", target, "serve images over HTTP"),),
        engines=(Engine("shared", "autopipe_serve.sharing.engine:Shared"),),
    )
