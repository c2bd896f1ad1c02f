"""The tasks that several families outside the core declare, each in its own manifest."""

from __future__ import annotations

from autopipe.tasks import Input, Task

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
"""Draws an image again, from what an image encoder sees in it."""
