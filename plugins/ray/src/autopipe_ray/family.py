"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Manifest, Runner


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    return Manifest("ray", runners=(Runner("ray", "autopipe_ray.runner:run"),))
