"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Command, Manifest


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    target = "autopipe_generate.command:declare"
    return Manifest(
        "generate", commands=(Command("generate", target, "generate images from a prompt"),)
    )
