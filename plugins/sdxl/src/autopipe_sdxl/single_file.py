"""The layout in which Stable Diffusion XL is published as single files.

`single_file.json` has the configs of the public checkpoints, which are data about their weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopipe.checkpoint.single.layout import SingleFile
from autopipe_components.original.layout import Encoder, Kind, LatentDiffusion, Measured, presets

_CLIP = Encoder("text_encoder", "conditioner.embedders.0.transformer.", "transformers")
_WITH_PROJECTION = "CLIPTextModelWithProjection"
_SECOND = Encoder("text_encoder_2", "conditioner.embedders.1.model.", "open_clip", _WITH_PROJECTION)
_OF_REFINER = Encoder(
    "text_encoder_2", "conditioner.embedders.0.model.", "open_clip", _WITH_PROJECTION
)

_INPAINTING = 9
_WIDTH_OF_REFINER = 1280
_VELOCITY, _ZERO_SNR = "v_pred", "ztsnr"
"""Names of tensors without values by which authors mark what a file needs."""


class StableDiffusionXLLayout(LatentDiffusion):
    """Single files of Stable Diffusion XL: base, refiner, inpainting."""

    encoders = (_CLIP, _SECOND, _OF_REFINER)
    pipelines = (
        "StableDiffusionXLPipeline",
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLInpaintPipeline",
    )

    @classmethod
    def kind_of(cls, file: SingleFile, unet: Measured) -> Kind:
        """See `LatentDiffusion`."""
        refines = _refines(file, unet)
        configs = presets(__package__)["refiner" if refines else "base"]
        scheduler = dict(configs["scheduler"])
        if _VELOCITY in file.tensors:
            scheduler["prediction_type"] = "v_prediction"
        if _ZERO_SNR in file.tensors:
            scheduler["rescale_betas_zero_snr"] = True
        infix = "Inpaint" if unet.channels == _INPAINTING else "Img2Img" if refines else ""
        others: dict[str, Any] = {"force_zeros_for_empty_prompt": not refines}
        if refines:
            others |= {
                "requires_aesthetics_score": True,
                "text_encoder": [None, None],
                "tokenizer": [None, None],
            }
        return Kind(
            pipeline=f"StableDiffusionXL{infix}Pipeline",
            configs={**configs, "unet": {**configs["unet"], "in_channels": unet.channels}},
            scheduler=scheduler,
            others=others,
            padding={"tokenizer_2": "!"},
        )

    @classmethod
    def encoder_of(cls, component: str, configs: Mapping[str, Mapping[str, Any]]) -> Encoder:
        """See `LatentDiffusion`."""
        if component == "text_encoder":
            return _CLIP
        return _SECOND if "text_encoder" in configs else _OF_REFINER


def _refines(file: SingleFile, unet: Measured) -> bool:
    """Whether a file is a refiner, which reads prompts of the second text encoder only."""
    if any(name.startswith(_OF_REFINER.prefix) for name in file.tensors):
        return True
    if any(name.startswith(_SECOND.prefix) for name in file.tensors):
        return False
    return unet.prompt == _WIDTH_OF_REFINER
