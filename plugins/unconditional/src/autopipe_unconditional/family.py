"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Family, Pipeline
from autopipe.tasks import Input, Task

_CLASSES = Input(
    "class_labels",
    "label",
    required=False,
    help="the number of the class to draw, for checkpoints with classes",
)
_EVERY_CALL = (
    "class_labels",
    "num_inference_steps",
    "generator",
    "output_type",
    "return_dict",
    "callback_on_step_end",
    "callback_on_step_end_tensor_inputs",
)

UNCONDITIONAL = Task(
    "unconditional",
    auto_class="AutoPipelineForUnconditional",
    aliases=("unconditional-image-generation", "class-to-image"),
    inputs=(_CLASSES,),
    parameters=("batch_size", *_EVERY_CALL),
    output="images",
    # PNDM takes four steps at least.
    samples={"num_inference_steps": (4, 6)},
    repeats="batch_size",
)

REPAINT = Task(
    "repaint",
    auto_class="AutoPipelineForRepainting",
    inputs=(
        Input("image", "image", help="the image to repaint: a file or a URL"),
        # Not of the kind "mask", whose white parts are repainted.
        Input("mask_image", "image", option="keep", help="the mask; white parts are kept"),
        _CLASSES,
    ),
    parameters=("image", "mask_image", "jump_length", "jump_n_sample", *_EVERY_CALL),
    output="images",
    samples={
        "num_inference_steps": (4, 6),
        "jump_length": (1, 2),
        "jump_n_sample": (2, 1),
    },
)

_PIPELINES = {
    "DDIMPipeline": "ddim",
    "DDPMPipeline": "ddpm",
    "KarrasVePipeline": "karras_ve",
    "LDMPipeline": "ldm",
    "PNDMPipeline": "pndm",
    "ScoreSdeVePipeline": "score_sde_ve",
}
"""The pipelines of the task: the module of each, which is also its line."""

_SCHEDULERS = {
    "KarrasVeScheduler": "karras_ve",
    "RePaintScheduler": "repaint",
    "ScoreSdeVeScheduler": "score_sde_ve",
}


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package = "autopipe_unconditional"
    return Family(
        name="unconditional",
        tasks=(UNCONDITIONAL, REPAINT),
        pipelines=(
            *(
                Pipeline(name, f"{package}.{module}:{name}", UNCONDITIONAL, module)
                for name, module in _PIPELINES.items()
            ),
            # It opens the checkpoints of DDPM.
            Pipeline("RePaintPipeline", f"{package}.repaint:RePaintPipeline", REPAINT, "ddpm"),
        ),
        components=(
            *(
                Component(name, f"{package}.schedulers.{module}:{name}", kind="scheduler")
                for name, module in _SCHEDULERS.items()
            ),
            # As diffusers writes it.
            Component(
                "KarrasVeScheduler",
                f"{package}.schedulers.karras_ve:KarrasVeScheduler",
                library="deprecated",
                kind="scheduler",
            ),
        ),
    )
