"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Export, Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT

_LIBRARIES = ("deprecated", "diffusers", "alt_diffusion")
"""The libraries under which indexes name the text encoder. In diffusers 0.42 the class moved: it
writes the second and finds the class under none, and takes an object that is passed with the first.
Published checkpoints have the last, and so have those saved here."""


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line, encoder = (
        "autopipe_alt_diffusion",
        "alt_diffusion",
        "RobertaSeriesModelWithTransformation",
    )
    return Family(
        name="alt_diffusion",
        pipelines=(
            Pipeline(
                "AltDiffusionPipeline",
                f"{package}.text2image:AltDiffusionPipeline",
                Task.TEXT2IMAGE,
                line,
            ),
            Pipeline(
                "AltDiffusionImg2ImgPipeline",
                f"{package}.image2image:AltDiffusionImg2ImgPipeline",
                Task.IMAGE2IMAGE,
                line,
            ),
        ),
        components=(
            *LIGHT,
            *(Component(encoder, f"{package}.text_encoder:{encoder}", n) for n in _LIBRARIES),
        ),
        exports=(
            Export("AltDiffusionPipelineOutput", f"{package}.output:AltDiffusionPipelineOutput"),
        ),
    )
