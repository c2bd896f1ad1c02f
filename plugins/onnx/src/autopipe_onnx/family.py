"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Engine, Export, Manifest, Pipeline
from autopipe.tasks import Task

_TASKS = {
    Task.TEXT2IMAGE: ("text2image", "OnnxStableDiffusionPipeline"),
    Task.IMAGE2IMAGE: ("image2image", "OnnxStableDiffusionImg2ImgPipeline"),
    Task.INPAINT: ("inpaint", "OnnxStableDiffusionInpaintPipeline"),
}


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    package = "autopipe_onnx"
    pipelines = tuple(
        Pipeline(name, f"{package}.{module}:{name}", task, line="onnx_stable_diffusion")
        for task, (module, name) in _TASKS.items()
    )
    return Manifest(
        name="onnx",
        pipelines=pipelines,
        components=(
            Component("OnnxRuntimeModel", f"{package}.model:OnnxRuntimeModel", kind="other"),
        ),
        engines=(Engine("onnx", f"{package}.engine:OnnxRuntime"),),
        exports=(Export("save_onnx", f"{package}.save:save_onnx"),),
    )
