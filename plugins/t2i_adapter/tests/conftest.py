"""Networks small enough to run in milliseconds, with seeded random weights.

Prompts are given as embeddings, so no text encoder is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.steered import (  # noqa: F401
    NETWORK,
    NOISE,
    POOLED,
    TOLD,
    UP,
    WIDTH,
    filled,
    installed,
    needs,
    vae,
)
from support.steered import SDXL as BASE_SDXL

from autopipe import AutoencoderKL, DDIMScheduler, T2IAdapter, UNet2DConditionModel
from autopipe.pipeline.base import DiffusionPipeline

UNET: dict[str, Any] = {
    **NETWORK,
    **UP,
    "block_out_channels": (16, 32, 32),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
}
ADAPTER: dict[str, Any] = {"channels": (16, 32, 32), "num_res_blocks": 1, "downscale_factor": 2}
XL_ADAPTER: dict[str, Any] = {
    "channels": (16, 32, 32, 32),
    "num_res_blocks": 1,
    "downscale_factor": 4,
    "adapter_type": "full_adapter_xl",
}
LIGHT: dict[str, Any] = {
    "channels": (16, 32),
    "num_res_blocks": 2,
    "downscale_factor": 2,
    "adapter_type": "light_adapter",
}
SDXL: dict[str, Any] = {
    **BASE_SDXL,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}


@pytest.fixture(scope="session")
def unets() -> Callable[..., UNet2DConditionModel]:
    """Makes U-Nets, each of a kind once."""
    made: dict[Any, Any] = {}

    def unet(**changes: Any) -> UNet2DConditionModel:
        key = repr(sorted(changes.items()))
        if key not in made:
            made[key] = filled(lambda: UNet2DConditionModel(**{**UNET, **changes}), 1)
        return made[key]

    return unet


@pytest.fixture(scope="session")
def nets() -> Callable[..., T2IAdapter]:
    """Makes adapters, each of a kind and seed once."""
    made: dict[Any, Any] = {}

    def adapter(seed: int = 2, **changes: Any) -> T2IAdapter:
        key = seed, repr(sorted(changes.items()))
        if key not in made:
            made[key] = filled(lambda: T2IAdapter(**{**ADAPTER, **changes}), seed)
        return made[key]

    return adapter


@pytest.fixture
def build(
    vae: AutoencoderKL,  # noqa: F811
    unets: Callable[..., UNet2DConditionModel],
    nets: Callable[..., T2IAdapter],
) -> Callable[..., Any]:
    """Makes a pipeline of any class of the two families: `build(kind, adapter=...)`."""

    def pipeline(kind: type[DiffusionPipeline], **changes: Any) -> Any:
        extra = SDXL if "XL" in kind.__name__ else {}
        known = kind.init_parameters()
        components = {
            **dict.fromkeys(kind.module_names()),
            **{name: value for name, value in TOLD.items() if name in known},
            "vae": vae,
            "unet": unets(**extra),
            "scheduler": DDIMScheduler(**NOISE),
        }
        if "adapter" in known:
            components["adapter"] = nets(**(XL_ADAPTER if extra else {}))
        if "add_watermarker" in known:
            components["add_watermarker"] = False
        pipe: Any = kind(**{**components, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@pytest.fixture
def prompt() -> Callable[..., dict[str, Any]]:
    """Makes the embeddings of prompts, as keywords of a call of a pipeline class."""

    def embeddings(kind: type, count: int = 1) -> dict[str, Any]:
        source = torch.Generator().manual_seed(7)
        shapes = {"prompt_embeds": (count, 5, WIDTH), "negative_prompt_embeds": (count, 5, WIDTH)}
        if "XL" in kind.__name__:
            shapes |= {"pooled_prompt_embeds": (count, POOLED)}  # type: ignore[dict-item]
            shapes |= {"negative_pooled_prompt_embeds": (count, POOLED)}  # type: ignore[dict-item]
        return {name: torch.randn(shape, generator=source) for name, shape in shapes.items()}

    return embeddings


@pytest.fixture
def draw(prompt: Callable[..., dict[str, Any]]) -> Callable[..., np.ndarray]:
    """Draws with a pipeline of any task: the images as an array."""

    def images(pipe: Any, seed: int = 0, prompts: int = 1, **call: Any) -> np.ndarray:
        name = type(pipe).__name__
        if "Img2Img" in name or "Inpaint" in name:
            call = {"image": picture(9), **call}
        if "Inpaint" in name:
            call = {"mask_image": Image.new("L", (16, 16), 255), **call}
        generator = torch.Generator().manual_seed(seed)
        given = {"num_inference_steps": 3, "output_type": "np", **prompt(type(pipe), prompts)}
        return pipe(generator=generator, **{**given, **call}).images

    return images


def picture(seed: int = 0, width: int = 16, height: int = 16) -> Image.Image:
    """A random RGB picture, smooth enough that resizing it keeps something of it."""
    noise = torch.rand(4, 4, 3, generator=torch.Generator().manual_seed(seed))
    small = Image.fromarray((noise * 255).to(torch.uint8).numpy())
    return small.resize((width, height), Image.Resampling.BICUBIC)
