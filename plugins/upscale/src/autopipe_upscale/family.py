"""The manifest of this package: the task of enlarging pictures, and pipelines that serve it."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Family, Pipeline
from autopipe.tasks import Input, Task
from autopipe_components.claims import LIGHT

UPSCALE = Task(
    "upscale",
    auto_class="AutoPipelineForUpscaling",
    aliases=("super-resolution",),
    inputs=(
        Input("prompt", "text", required=False),
        Input("image", "image", help="the picture to enlarge"),
    ),
    parameters=("image", "num_inference_steps", "generator", "output_type", "return_dict"),
    samples={"prompt": ("a red circle", "a blue square"), "num_inference_steps": (2, 3)},
)
"""Enlarges a picture; a prompt may say what it shows."""

_CLASSES = {
    "StableDiffusionUpscalePipeline": "stable_diffusion",
    "StableDiffusionLatentUpscalePipeline": "latents",
    "LDMSuperResolutionPipeline": "latent_diffusion",
}


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package = "autopipe_upscale"
    return Family(
        name="upscale",
        tasks=(UPSCALE,),
        pipelines=tuple(
            Pipeline(name, f"{package}.{module}:{name}", "upscale", f"upscale_{module}")
            for name, module in _CLASSES.items()
        ),
        components=LIGHT,
        demo=f"{package}:demo",
    )
