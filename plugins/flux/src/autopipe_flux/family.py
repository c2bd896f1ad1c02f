"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Export, Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line = "autopipe_flux", "flux"
    tasks = {
        Task.TEXT2IMAGE: ("text2image", "FluxPipeline"),
        Task.IMAGE2IMAGE: ("image2image", "FluxImg2ImgPipeline"),
        Task.INPAINT: ("inpaint", "FluxInpaintPipeline"),
    }
    return Family(
        name="flux",
        pipelines=tuple(
            Pipeline(name, f"{package}.{module}:{name}", task, line)
            for task, (module, name) in tasks.items()
        ),
        components=(
            *LIGHT,
            Component("FluxTransformer2DModel", f"{package}.transformer:FluxTransformer2DModel"),
        ),
        exports=(Export("FluxPipelineOutput", f"{package}.output:FluxPipelineOutput"),),
    )
