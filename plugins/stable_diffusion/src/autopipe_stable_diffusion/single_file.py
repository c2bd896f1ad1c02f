"""The layout in which Stable Diffusion 1.x and 2.x are published as single files.

`single_file.json` has the configs of the public checkpoints, which are data about their weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopipe.checkpoint.single.layout import SingleFile
from autopipe_components.original.layout import Encoder, Kind, LatentDiffusion, Measured, presets

_CLIP = Encoder("text_encoder", "cond_stage_model.transformer.", "transformers")
_OPEN_CLIP = Encoder("text_encoder", "cond_stage_model.model.", "open_clip")

_TASKS = {5: "Depth2Img", 7: "Upscale", 8: "InstructPix2Pix", 9: "Inpaint"}
"""By the input channels of the U-Net, the infix of the class of its pipeline."""

_INPAINTING = 9
_WIDTH_OF_SECOND = 1024
"""The width of the prompts of Stable Diffusion 2.x."""

_STEPS_OF_BASE = 875_000
"""The training steps of the checkpoint "2-base", which predicts the noise."""


class StableDiffusionLayout(LatentDiffusion):
    """Single files of Stable Diffusion 1.x and 2.x."""

    left_out = ("safety_checker",)
    encoders = (_CLIP, _OPEN_CLIP)
    pipelines = (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
    )

    @classmethod
    def kind_of(cls, file: SingleFile, unet: Measured) -> Kind:
        """See `LatentDiffusion`."""
        configs = presets(__package__)["sd2" if _is_second(file, unet) else "sd1"]
        infix = _TASKS.get(unet.channels, "")
        is_inpainting = unet.channels == _INPAINTING
        scheduler = configs["inpainting scheduler" if is_inpainting else "scheduler"]
        changed: dict[str, Any] = {"in_channels": unet.channels}
        assumed: tuple[str, ...] = ()
        if scheduler.get("prediction_type") == "v_prediction":
            is_base = file.numbers.get("global_step") == _STEPS_OF_BASE
            if is_base or file.prediction_type == "epsilon":
                changed["sample_size"] = 64
            if is_base:
                scheduler = {**scheduler, "prediction_type": "epsilon"}
            elif file.prediction_type is None and file.original is None:
                assumed = (
                    "assumed that this Stable Diffusion 2.x predicts velocities, as the checkpoint "
                    "for 768 pixels does; for one for 512 pixels pass prediction_type='epsilon'",
                )
        elif is_inpainting:
            changed |= {"sample_size": 64, "upcast_attention": False}
        return Kind(
            pipeline=f"StableDiffusion{infix}Pipeline",
            configs={**configs, "unet": {**configs["unet"], **changed}},
            scheduler=scheduler,
            others={"safety_checker": [None, None], "requires_safety_checker": False},
            padding={"tokenizer": "!"} if _is_second(file, unet) else {},
            assumed=assumed,
        )

    @classmethod
    def encoder_of(cls, component: str, configs: Mapping[str, Mapping[str, Any]]) -> Encoder:
        """See `LatentDiffusion`. OpenCLIP's text encoders have another activation."""
        return _OPEN_CLIP if configs[component].get("hidden_act") == "gelu" else _CLIP


def _is_second(file: SingleFile, unet: Measured) -> bool:
    """Whether a file belongs to Stable Diffusion 2.x, whose prompts are encoded by OpenCLIP."""
    if any(name.startswith(_OPEN_CLIP.prefix) for name in file.tensors):
        return True
    return unet.prompt == _WIDTH_OF_SECOND
