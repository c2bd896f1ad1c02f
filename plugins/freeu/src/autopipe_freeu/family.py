"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import AddOn, Manifest, Method


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    package = "autopipe_freeu"
    methods = f"{package}.methods"
    return Manifest(
        name="freeu",
        addons=(
            AddOn(
                "freeu",
                f"{package}.addon:FreeU",
                help="weaken skip connections of a U-Net and strengthen its backbone",
            ),
        ),
        methods=(
            Method("enable_freeu", f"{methods}:enable_freeu"),
            Method("disable_freeu", f"{methods}:disable_freeu"),
            Method("enable_freeu", f"{methods}:enable_freeu_of_network", of="network"),
            Method("disable_freeu", f"{methods}:disable_freeu_of_network", of="network"),
        ),
    )
