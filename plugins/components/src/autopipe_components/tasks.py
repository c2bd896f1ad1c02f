"""The tasks that several families outside the core declare, each in its own manifest."""

from __future__ import annotations

from autopipe.tasks import Input, Task

VARIATION = Task(
    "variation",
    auto_class="AutoPipelineForVariation",
    aliases=("image-variation",),
    inputs=(Input("image", "image", help="the picture to draw variations of: a file or a URL"),),
    parameters=("image", "num_images_per_prompt", "generator", "output_type", "return_dict"),
    repeats="num_images_per_prompt",
)
"""Draws an image again, from what an image encoder sees in it."""
