"""The manifest of this package: the task of editing by an instruction, and its pipelines."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Family, Pipeline
from autopipe.tasks import Input, Task
from autopipe_components.claims import LIGHT

EDIT = Task(
    "edit",
    auto_class="AutoPipelineForImageEditing",
    inputs=(
        Input("prompt", "text"),
        Input("image", "image", help="the picture to edit"),
        Input(
            "image_guidance_scale",
            "number",
            option="image-guidance",
            required=False,
            help="how much of the picture to keep (default: the pipeline's)",
        ),
    ),
    parameters=(
        *("prompt", "image", "num_inference_steps", "guidance_scale", "image_guidance_scale"),
        *("negative_prompt", "num_images_per_prompt", "generator", "output_type", "return_dict"),
    ),
    samples={
        "prompt": ("make it blue", "make it a circle"),
        "num_inference_steps": (2, 3),
        # At 1, the picture guides nothing, and the prompt alone is compared.
        "image_guidance_scale": (1.0, 1.6),
    },
    repeats="num_images_per_prompt",
)
"""Changes a picture as an instruction says."""

_CLASSES = {
    "StableDiffusionInstructPix2PixPipeline": "stable_diffusion",
    "StableDiffusionXLInstructPix2PixPipeline": "sdxl",
}


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package = "autopipe_edit"
    return Family(
        name="edit",
        tasks=(EDIT,),
        pipelines=tuple(
            Pipeline(name, f"{package}.{module}:{name}", "edit", f"edit_{module}")
            for name, module in _CLASSES.items()
        ),
        components=LIGHT,
        demo=f"{package}:demo",
    )
