"""Recognises Stable Diffusion in folders without an index, as some training scripts save them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_INPAINTING = 9
"""The input channels of a U-Net that takes the mask and the masked image with the latents."""

_CLASSES = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "safety_checker": ("stable_diffusion", "StableDiffusionSafetyChecker"),
    "feature_extractor": ("transformers", "CLIPImageProcessor"),
}


def recognise(
    index: Mapping[str, Any], configs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return the index of a checkpoint, or None if it belongs to another family.

    Args:
        index: the checkpoint's index, which has no class and may be empty.
        configs: the configs of its components, by folder.
    """
    unet = configs["unet"]
    another = "text_encoder_2" in configs or unet.get("addition_embed_type") is not None
    known = unet.get("_class_name", "UNet2DConditionModel") == "UNet2DConditionModel"
    if another or not known or unet.get("cross_attention_dim") is None:
        return None
    channels = unet.get("in_channels", 4)
    task = "Inpaint" if channels == _INPAINTING else ""
    found: dict[str, Any] = {
        name: list(pair) if name in configs else [None, None] for name, pair in _CLASSES.items()
    }
    scheduler = configs.get("scheduler", {}).get("_class_name")
    if scheduler is not None:
        found["scheduler"] = ["diffusers", scheduler]
    return {"_class_name": f"StableDiffusion{task}Pipeline", **found, **index}
