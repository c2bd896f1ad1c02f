"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Export, Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT

_TASKS = {
    "IFPipeline": ("text2image", Task.TEXT2IMAGE),
    "IFImg2ImgPipeline": ("image2image", Task.IMAGE2IMAGE),
    "IFInpaintingPipeline": ("inpaint", Task.INPAINT),
}
_SUPER_RESOLUTION = {
    "IFSuperResolutionPipeline": "text2image",
    "IFImg2ImgSuperResolutionPipeline": "image2image",
    "IFInpaintingSuperResolutionPipeline": "inpaint",
}


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, name = "autopipe_deepfloyd_if", "deepfloyd_if"
    tasks = tuple(
        Pipeline(cls, f"{package}.{module}:{cls}", task, name)
        for cls, (module, task) in _TASKS.items()
    )
    further = tuple(
        Pipeline(cls, f"{package}.super_resolution.{module}:{cls}")
        for cls, module in _SUPER_RESOLUTION.items()
    )
    return Family(
        name=name,
        pipelines=(*tasks, *further),
        components=(
            *LIGHT,
            Component("IFSafetyChecker", f"{package}.safety_checker:IFSafetyChecker", name),
            Component("IFWatermarker", f"{package}.watermark:IFWatermarker", name),
        ),
        exports=(Export("IFPipelineOutput", f"{package}.output:IFPipelineOutput"),),
    )
