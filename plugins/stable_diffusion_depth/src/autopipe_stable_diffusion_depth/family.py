"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    name, package = "stable_diffusion_depth", "autopipe_stable_diffusion_depth"
    kind = "StableDiffusionDepth2ImgPipeline"
    return Family(
        name=name,
        pipelines=(Pipeline(kind, f"{package}.image2image:{kind}", Task.IMAGE2IMAGE, name),),
        components=LIGHT,
    )
