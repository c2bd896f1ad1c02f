"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Family, Pipeline
from autopipe.tasks import Input, Task

UNCONDITIONAL = Task(
    "unconditional",
    auto_class="AutoPipelineForUnconditional",
    aliases=("unconditional-image-generation", "class-to-image"),
    inputs=(
        Input(
            "class_labels",
            "label",
            required=False,
            help="the number of the class to draw, for checkpoints with classes",
        ),
    ),
    parameters=(
        "batch_size",
        "class_labels",
        "num_inference_steps",
        "generator",
        "output_type",
        "return_dict",
        "callback_on_step_end",
        "callback_on_step_end_tensor_inputs",
    ),
    output="images",
    # PNDM takes four steps at least.
    samples={"num_inference_steps": (4, 6)},
    repeats="batch_size",
)

_PIPELINES = {
    "DDPMPipeline": ("ddpm", "unconditional"),
}
"""The pipelines of the task: the module of each, and its line."""


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package = "autopipe_unconditional"
    return Family(
        name="unconditional",
        tasks=(UNCONDITIONAL,),
        pipelines=tuple(
            Pipeline(name, f"{package}.{module}:{name}", UNCONDITIONAL, line)
            for name, (module, line) in _PIPELINES.items()
        ),
    )
