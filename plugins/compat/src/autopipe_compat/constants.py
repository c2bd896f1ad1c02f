"""Constants under the names of diffusers: names of files, filters, schedules, and what is here."""

from __future__ import annotations

import os
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import torch
from huggingface_hub import constants as hub

from .availability import compare_versions

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "diffusion_pytorch_model.bin"
WEIGHTS_INDEX_NAME = "diffusion_pytorch_model.bin.index.json"
SAFETENSORS_WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
SAFE_WEIGHTS_INDEX_NAME = "diffusion_pytorch_model.safetensors.index.json"
SAFETENSORS_FILE_EXTENSION = "safetensors"
GGUF_FILE_EXTENSION = "gguf"
ONNX_WEIGHTS_NAME = "model.onnx"
ONNX_EXTERNAL_WEIGHTS_NAME = "weights.pb"
SCHEDULER_CONFIG_NAME = "scheduler_config.json"
LORA_WEIGHT_NAME = "pytorch_lora_weights.bin"
LORA_WEIGHT_NAME_SAFE = "pytorch_lora_weights.safetensors"
TEXT_INVERSION_NAME = "learned_embeds.bin"
TEXT_INVERSION_NAME_SAFE = "learned_embeds.safetensors"
UNET_NAME = "unet"
TEXT_ENCODER_NAME = "text_encoder"
TRANSFORMER_NAME = "transformer"

HUGGINGFACE_CO_RESOLVE_ENDPOINT = hub.ENDPOINT
HF_HUB_OFFLINE = hub.HF_HUB_OFFLINE
DIFFUSERS_CACHE = default_cache_path = hub.HF_HUB_CACHE
old_diffusers_cache = os.path.join(hub.HF_HOME, "diffusers")
DEPRECATED_REVISION_ARGS = ["fp16", "non-ema"]

ENV_VARS_TRUE_VALUES = {"1", "ON", "YES", "TRUE"}
ENV_VARS_TRUE_AND_AUTO_VALUES = ENV_VARS_TRUE_VALUES | {"AUTO"}

MIN_PEFT_VERSION = "0.17.0"


def _has_peft() -> bool:
    try:
        return compare_versions("peft", ">=", MIN_PEFT_VERSION)
    except ImportError:  # The error of `importlib.metadata` is one.
        return False


USE_PEFT_BACKEND = _has_peft()
"""Whether peft is installed. A LoRA works without it; only layers that a program makes need it."""

PIL_INTERPOLATION = {
    "linear": PIL.Image.Resampling.BILINEAR,
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "bicubic": PIL.Image.Resampling.BICUBIC,
    "lanczos": PIL.Image.Resampling.LANCZOS,
    "nearest": PIL.Image.Resampling.NEAREST,
}

PipelineImageInput: TypeAlias = (
    "PIL.Image.Image | np.ndarray[Any, Any] | torch.Tensor | list[PIL.Image.Image] "
    "| list[np.ndarray[Any, Any]] | list[torch.Tensor]"
)
PipelineDepthInput: TypeAlias = PipelineImageInput


class KarrasDiffusionSchedulers(Enum):
    """The schedulers that may take the place of each other, as programs annotate them."""

    DDIMScheduler = 1
    DDPMScheduler = 2
    PNDMScheduler = 3
    LMSDiscreteScheduler = 4
    EulerDiscreteScheduler = 5
    HeunDiscreteScheduler = 6
    EulerAncestralDiscreteScheduler = 7
    DPMSolverMultistepScheduler = 8
    DPMSolverSinglestepScheduler = 9
    KDPM2DiscreteScheduler = 10
    KDPM2AncestralDiscreteScheduler = 11
    DEISMultistepScheduler = 12
    UniPCMultistepScheduler = 13
    DPMSolverSDEScheduler = 14
    EDMEulerScheduler = 15


AysSchedules = {
    "StableDiffusionTimesteps": [999, 850, 736, 645, 545, 455, 343, 233, 124, 24],
    "StableDiffusionSigmas": [
        *(14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.0)
    ],
    "StableDiffusionXLTimesteps": [999, 845, 730, 587, 443, 310, 193, 116, 53, 13],
    "StableDiffusionXLSigmas": [
        *(14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.0)
    ],
    "StableDiffusionVideoSigmas": [
        *(700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.0)
    ],
}
"""Schedules of ten steps, from arXiv:2404.14507."""


def is_valid_image(image: Any) -> bool:
    """Whether `image` is a PIL image, or an array or tensor of two or three dimensions."""
    arrays = isinstance(image, (np.ndarray, torch.Tensor))
    return isinstance(image, PIL.Image.Image) or (arrays and image.ndim in (2, 3))


def is_valid_image_imagelist(images: Any) -> bool:
    """Whether `images` is an image, a list of images, or a batch of four dimensions."""
    if isinstance(images, (np.ndarray, torch.Tensor)) and images.ndim == 4:
        return True
    return is_valid_image(images) or (isinstance(images, list) and all(map(is_valid_image, images)))


def is_compiled_module(module: Any) -> bool:
    """Whether `torch.compile` made this module."""
    return isinstance(module, torch._dynamo.eval_frame.OptimizedModule)


def unwrap_module(module: Any) -> Any:
    """Return the module that `torch.compile` got, or a module itself."""
    return module._orig_mod if is_compiled_module(module) else module
