"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Export, Family, Pipeline, Reader
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT

_KEYS = ("double_blocks.0.img_attn.norm.key_norm.scale", "single_blocks.0.linear1.weight")
"""Tensors by which a file with the authors' names is told."""


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
        readers=tuple(
            Reader(
                name,
                keys=tuple(f"{prefix}{key}" for key in _KEYS),
                target=f"{package}.single_file:FluxLayout",
            )
            for name, prefix in (("flux", ""), ("flux-prefixed", "model.diffusion_model."))
        ),
    )
