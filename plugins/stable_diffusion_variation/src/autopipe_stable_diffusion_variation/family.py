"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Family, Pipeline
from autopipe_components.claims import LIGHT
from autopipe_components.tasks import VARIATION


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    name, package = "stable_diffusion_variation", "autopipe_stable_diffusion_variation"
    kind = "StableDiffusionImageVariationPipeline"
    return Family(
        name=name,
        tasks=(VARIATION,),
        pipelines=(Pipeline(kind, f"{package}.variation:{kind}", VARIATION, name),),
        components=LIGHT,
    )
