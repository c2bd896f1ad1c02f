"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Export, Family, Pipeline
from autopipe.tasks import Input, Task
from autopipe_components.claims import LIGHT

TEXT2RGBD = Task(
    "text2rgbd",
    auto_class="AutoPipelineForText2RGBD",
    aliases=("text-to-rgbd",),
    inputs=(Input("prompt", "text"),),
    parameters=(
        "prompt",
        "num_inference_steps",
        "guidance_scale",
        "num_images_per_prompt",
        "generator",
        "output_type",
        "callback_on_step_end",
        "callback_on_step_end_tensor_inputs",
        "height",
        "width",
        "latents",
    ),
    samples=Task.TEXT2IMAGE.samples,
    repeats="num_images_per_prompt",
)
"""Pictures of a prompt, with a depth for each pixel in the field `depth` of the output."""


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, name = "autopipe_ldm3d", "StableDiffusionLDM3DPipeline"
    return Family(
        name="ldm3d",
        tasks=(TEXT2RGBD,),
        pipelines=(Pipeline(name, f"{package}.text2rgbd:{name}", "text2rgbd", "ldm3d"),),
        components=LIGHT,
        exports=(Export("LDM3DPipelineOutput", f"{package}.output:LDM3DPipelineOutput"),),
    )
