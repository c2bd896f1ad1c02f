"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line = "autopipe_latent_diffusion", "latent_diffusion"
    pipeline, encoder = "LDMTextToImagePipeline", "LDMBertModel"
    return Family(
        name="latent_diffusion",
        pipelines=(Pipeline(pipeline, f"{package}.text2image:{pipeline}", Task.TEXT2IMAGE, line),),
        components=(
            *LIGHT,
            Component(encoder, f"{package}.text_encoder:{encoder}", library=line),
        ),
    )
