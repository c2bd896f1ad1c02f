"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Family, Pipeline
from autopipe.tasks import Input, Task
from autopipe_components.claims import LIGHT, moved

INPAINT_BY_EXAMPLE = Task(
    "inpaint_by_example",
    auto_class="AutoPipelineForInpaintingByExample",
    aliases=("paint-by-example",),
    inputs=(
        Input("example_image", "image", option="example", help="a picture of what to paint"),
        Input("image", "image", help="the picture to repaint: a file or a URL"),
        Input("mask_image", "mask", option="mask", help="the mask; white parts are repainted"),
    ),
    parameters=(
        "example_image",
        "image",
        "mask_image",
        "num_inference_steps",
        "guidance_scale",
        "num_images_per_prompt",
        "generator",
        "output_type",
        "return_dict",
        "callback_on_step_end",
        "callback_on_step_end_tensor_inputs",
    ),
    samples={"num_inference_steps": (2, 3), "guidance_scale": (5.0, 2.0)},
    repeats="num_images_per_prompt",
)
"""Repaints the masked part of an image with what an example shows."""


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line = "autopipe_paint_by_example", "paint_by_example"
    name, encoder = "PaintByExamplePipeline", "PaintByExampleImageEncoder"
    return Family(
        name=line,
        tasks=(INPAINT_BY_EXAMPLE,),
        pipelines=(Pipeline(name, f"{package}.inpaint:{name}", "inpaint_by_example", line),),
        components=(*LIGHT, *moved(encoder, f"{package}.image_encoder:{encoder}", line)),
    )
