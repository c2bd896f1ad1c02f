"""What this package offers: tools for authors, and no pipeline."""

from __future__ import annotations

from autopipe import Family, hookimpl


@hookimpl
def autopipe_family() -> Family:
    """The manifest."""
    return Family(name="devkit")
