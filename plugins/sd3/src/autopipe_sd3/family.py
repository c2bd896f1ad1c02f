"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Export, Family, Pipeline, Reader
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT

_PACKAGE, _LINE = "autopipe_sd3", "sd3"

_TASKS = {
    "StableDiffusion3Pipeline": ("text2image", Task.TEXT2IMAGE),
    "StableDiffusion3Img2ImgPipeline": ("image2image", Task.IMAGE2IMAGE),
    "StableDiffusion3InpaintPipeline": ("inpaint", Task.INPAINT),
}


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    return Family(
        name="sd3",
        pipelines=tuple(
            Pipeline(name, f"{_PACKAGE}.{module}:{name}", task, _LINE)
            for name, (module, task) in _TASKS.items()
        ),
        components=(
            Component("SD3Transformer2DModel", f"{_PACKAGE}.transformer:SD3Transformer2DModel"),
            *LIGHT,
        ),
        readers=tuple(
            Reader(
                name,
                keys=(
                    f"{prefix}joint_blocks.0.x_block.attn.qkv.weight",
                    f"{prefix}x_embedder.proj.weight",
                ),
                target=f"{_PACKAGE}.single_file:StableDiffusion3Layout",
            )
            for name, prefix in (("sd3", "model.diffusion_model."), ("sd3-transformer", ""))
        ),
        exports=(
            Export(
                "StableDiffusion3PipelineOutput",
                f"{_PACKAGE}.output:StableDiffusion3PipelineOutput",
            ),
        ),
    )
