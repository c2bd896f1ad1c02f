"""What this package offers: a task without a prompt, one class for two tasks, and an engine."""

from __future__ import annotations

from autopipe import Component, Engine, Family, Input, Pipeline, Task, hookimpl

PACKAGE = "autopipe_shapes"
STEPS = {"num_inference_steps": (2, 3)}

UNCONDITIONAL = Task(
    "unconditional",
    auto_class="AutoPipelineForUnconditional",
    parameters=("batch_size", "num_inference_steps", "generator", "output_type"),
    samples=STEPS,
    repeats="batch_size",
)

EDIT = Task(
    "edit",
    auto_class="AutoPipelineForEditing",
    inputs=(Input("prompt", "text", help="what to do"), Input("image", "image")),
    parameters=("prompt", "image", "num_inference_steps", "generator", "output_type"),
    samples={**STEPS, "prompt": ("darker", "more blue")},
)


@hookimpl
def autopipe_family() -> Family:
    """The manifest."""
    return Family(
        "shapes",
        tasks=(UNCONDITIONAL, EDIT),
        pipelines=(
            Pipeline(
                "ShapesPipeline", f"{PACKAGE}.unconditional:ShapesPipeline", "unconditional",
                "shapes",
            ),
            Pipeline(
                "ShapesEditPipeline", f"{PACKAGE}.edit:ShapesEditPipeline", "edit",
                "shapes_edit", also=("image2image",),
            ),
        ),
        components=(
            Component("ShapesNetwork", f"{PACKAGE}.network:ShapesNetwork", PACKAGE),
            Component("Qwen3Model", "transformers:Qwen3Model", "transformers"),
            Component(
                "DDIMScheduler",
                "autopipe_components.schedulers.ddim:DDIMScheduler",
                kind="scheduler",
            ),
        ),
        engines=(Engine("traced", f"{PACKAGE}.engine:Traced"),),
        demo=f"{PACKAGE}:demo",
    )  # fmt: skip
