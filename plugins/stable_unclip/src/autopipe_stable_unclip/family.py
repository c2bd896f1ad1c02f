"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT
from autopipe_components.tasks import VARIATION


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line = "autopipe_stable_unclip", "stable_unclip"
    # The checkpoints of the two classes have different components.
    text, image = "StableUnCLIPPipeline", "StableUnCLIPImg2ImgPipeline"
    normalizer = "StableUnCLIPImageNormalizer"
    return Family(
        name=line,
        tasks=(VARIATION,),
        pipelines=(
            Pipeline(text, f"{package}.text2image:{text}", Task.TEXT2IMAGE, line),
            Pipeline(image, f"{package}.variation:{image}", VARIATION, f"{line}.image"),
        ),
        components=(
            *LIGHT,
            Component(normalizer, f"{package}.normalizer:{normalizer}", "stable_diffusion"),
        ),
    )
