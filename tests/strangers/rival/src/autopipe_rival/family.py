"""What this package offers: some of it is also offered by `autopipe-shapes`, in another way."""

from __future__ import annotations

from autopipe import Engine, Export, Family, Pipeline, Task, hookimpl

PACKAGE = "autopipe_rival"

UNCONDITIONAL = Task(
    "unconditional",
    auto_class="AutoPipelineForUnconditional",
    aliases=("unconditional-image-generation",),
    parameters=("batch_size", "num_inference_steps", "generator"),
    samples={"num_inference_steps": (2, 3)},
)


@hookimpl
def autopipe_family() -> Family:
    """The manifest."""
    return Family(
        "rival",
        tasks=(UNCONDITIONAL,),
        pipelines=(
            Pipeline(
                "RivalPipeline", f"{PACKAGE}.pipeline:RivalPipeline", "unconditional", "rival"
            ),
            Pipeline("ShapesPipeline", f"{PACKAGE}.pipeline:ShapesPipeline"),
        ),
        engines=(Engine("traced", f"{PACKAGE}.engine:Scripted"),),
        exports=(Export("ShapesNetwork", f"{PACKAGE}.network:ShapesNetwork"),),
        demo=f"{PACKAGE}:demo",
    )
