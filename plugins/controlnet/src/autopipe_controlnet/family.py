"""The manifest of this package: a condition on the lines of other families."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Condition, Export, Family, Pipeline, Reader
from autopipe.tasks import Input, Task
from autopipe_components.claims import LIGHT

_TASKS = {
    Task.TEXT2IMAGE: ("text2image", ""),
    Task.IMAGE2IMAGE: ("image2image", "Img2Img"),
    Task.INPAINT: ("inpaint", "Inpaint"),
}
_LINES = {"stable_diffusion": "StableDiffusion", "sdxl": "StableDiffusionXL"}

_FILES = {
    "controlnet": "control_model.input_hint_block.0.weight",
    "controlnet-bare": "input_hint_block.0.weight",
    "controlnet-plain": "controlnet_cond_embedding.conv_in.weight",
}
"""By layout of single files, the name of a tensor that only a ControlNet has."""


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package = "autopipe_controlnet"
    pipelines = tuple(
        Pipeline(
            f"{prefix}ControlNet{infix}Pipeline",
            f"{package}.{line}.{module}:{prefix}ControlNet{infix}Pipeline",
            task,
            line,
            conditions=frozenset({"controlnet"}),
        )
        for line, prefix in _LINES.items()
        for task, (module, infix) in _TASKS.items()
    )
    return Family(
        name="controlnet",
        pipelines=pipelines,
        components=(
            *LIGHT,
            Component("ControlNetModel", f"{package}.controlnet:ControlNetModel"),
            Component("MultiControlNetModel", f"{package}.multicontrolnet:MultiControlNetModel"),
        ),
        conditions=(
            Condition(
                "controlnet",
                keyword="controlnet",
                target=f"{package}.controlnet:ControlNetModel",
                inputs=(
                    Input(
                        "control_image",
                        "image",
                        help="the control image, such as outlines",
                    ),
                    Input(
                        "controlnet_conditioning_scale",
                        "number",
                        option="control-scale",
                        required=False,
                        help="the strength of the ControlNet",
                    ),
                ),
                help="a ControlNet",
            ),
        ),
        exports=(Export("ControlNetOutput", f"{package}.controlnet:ControlNetOutput"),),
        demo=f"{package}:demo",
        readers=tuple(
            Reader(name, (key,), f"{package}.single_file:ControlNetLayout")
            for name, key in _FILES.items()
        ),
    )
