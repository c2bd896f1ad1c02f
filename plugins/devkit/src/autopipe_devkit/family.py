"""The manifest of this package, which provides commands but no pipelines."""

from __future__ import annotations

from autopipe import Command, Manifest, hookimpl


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    return Manifest(
        name="devkit",
        commands=(
            Command(
                "new",
                "autopipe_devkit.commands.new:declare",
                "write a project for a new family to start from",
            ),
            Command(
                "check",
                "autopipe_devkit.commands.check:declare",
                "check what every family promises, for an installed one",
            ),
            Command(
                "stubs",
                "autopipe_devkit.commands.stubs:declare",
                "tell type checkers and editors what is installed",
            ),
        ),
    )
