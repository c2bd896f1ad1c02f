"""What this package offers: a task that autopipe doesn't have, and a pipeline for it."""

from __future__ import annotations

from autopipe import Component, Family, Input, Pipeline, Task, hookimpl

PACKAGE = "autopipe_clips"

TEXT2VIDEO = Task(
    "text2video",
    auto_class="AutoPipelineForTextToVideo",
    aliases=("text-to-video",),
    inputs=(Input("prompt", "text"),),
    parameters=(
        "prompt", "num_frames", "num_inference_steps", "num_videos_per_prompt", "generator",
        "output_type", "return_dict",
    ),
    output="frames",
    samples={
        "prompt": ("a dog runs", "rain"),
        "num_frames": (3,),
        "num_inference_steps": (2, 3),
    },
    repeats="num_videos_per_prompt",
)  # fmt: skip


@hookimpl
def autopipe_family() -> Family:
    """The manifest."""
    return Family(
        "clips",
        tasks=(TEXT2VIDEO,),
        pipelines=(
            Pipeline("ClipsPipeline", f"{PACKAGE}.pipeline:ClipsPipeline", "text2video", "clips"),
        ),
        components=(
            Component("ClipsNetwork", f"{PACKAGE}.network:ClipsNetwork", library=PACKAGE),
            Component("Qwen3Model", f"{PACKAGE}.network:ClipsReader", library="transformers"),
            Component(
                "DDIMScheduler",
                "autopipe_components.schedulers.ddim:DDIMScheduler",
                kind="scheduler",
            ),
        ),
        demo=f"{PACKAGE}:demo",
    )
