"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Family, Pipeline
from autopipe.tasks import Input, Task
from autopipe_components.claims import LIGHT

VARIATION = Task(
    "variation",
    auto_class="AutoPipelineForImageVariation",
    aliases=("image-variation",),
    inputs=(Input("image", "image", help="the image of which to draw variations"),),
    parameters=(
        "image",
        "num_inference_steps",
        "guidance_scale",
        "num_images_per_prompt",
        "generator",
        "output_type",
        "return_dict",
        "callback_on_step_end",
        "callback_on_step_end_tensor_inputs",
    ),
    samples={"num_inference_steps": (2, 3), "guidance_scale": (7.5, 2.0)},
    repeats="num_images_per_prompt",
)


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line = "autopipe_unclip", "unclip"
    texts, images = "UnCLIPPipeline", "UnCLIPImageVariationPipeline"
    projection = "UnCLIPTextProjModel"
    return Family(
        name="unclip",
        tasks=(VARIATION,),
        pipelines=(
            Pipeline(texts, f"{package}.text2image:{texts}", Task.TEXT2IMAGE, line),
            Pipeline(images, f"{package}.variation:{images}", VARIATION, f"{line}.variation"),
        ),
        components=(
            *LIGHT,
            # Saved as the Hub has it; diffusers 0.42 saves the other form.
            *(
                Component(projection, f"{package}.text_projection:{projection}", library)
                for library in ("diffusers", "unclip")
            ),
        ),
    )
