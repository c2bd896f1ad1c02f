"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import AddOn, Export, Manifest


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    package = "autopipe_prompts"
    return Manifest(
        name="prompts",
        exports=(Export("weighted_embeds", f"{package}.embeds:weighted_embeds"),),
        addons=(
            AddOn(
                "a1111",
                f"{package}.a1111.addon:A1111",
                help="weights like (word:1.3), BREAK and AND, and prompts of any length",
            ),
            AddOn(
                "compel",
                f"{package}.compel.addon:Compel",
                help="weights like word++, .and() and .blend(), and prompts of any length",
            ),
        ),
    )
