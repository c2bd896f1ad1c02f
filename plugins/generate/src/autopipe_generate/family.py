"""What this package offers."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Command, Manifest


@hookimpl
def autopipe_family() -> Manifest:
    """The manifest."""
    target = "autopipe_generate.command:declare"
    return Manifest(
        "generate", commands=(Command("generate", target, "make pictures from a prompt"),)
    )
