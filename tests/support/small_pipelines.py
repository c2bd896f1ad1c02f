"""Small pipelines of each class, whose prompts are given as embeddings.

A `conftest.py` imports the fixtures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autopipe import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel

from .pictures import mask, picture
from .tiny import BETAS, UNET, VAE, WIDTH, seeded

POOLED, IDS = 10, 4
XL: dict[str, Any] = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": IDS,
    "projection_class_embeddings_input_dim": POOLED + 6 * IDS,
}
CONTROL: dict[str, Any] = {
    **{
        name: value for name, value in UNET.items() if name not in ("sample_size", "up_block_types")
    },
    "conditioning_embedding_out_channels": (4, 8),
}


def with_noise(network: Any) -> Any:
    """A network in which nothing is zero, as everything leading out of a new ControlNet is."""
    source = torch.Generator().manual_seed(5)
    for parameter in network.parameters():
        if not parameter.any():
            parameter.normal_(std=0.3, generator=source)
    return network


@pytest.fixture(scope="session")
def networks() -> Callable[..., Any]:
    """Makes a network, each of a class and config once."""
    made: dict[str, Any] = {}

    def network(kind: Any, **config: Any) -> Any:
        key = f"{kind.__name__}{sorted(config.items())}"
        if key not in made:
            made[key] = with_noise(seeded(lambda: kind(**config)))
        return made[key]

    return network


@pytest.fixture
def build(networks: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a pipeline of a class: `build(kind, pag_applied_layers=...)`."""

    def pipeline(kind: Any, **changes: Any) -> Any:
        extra = XL if "XL" in kind.__name__ else {}
        known = kind.init_parameters()
        components = {
            **dict.fromkeys(kind.module_names()),
            "vae": networks(AutoencoderKL, **VAE, force_upcast=False),
            "unet": networks(UNet2DConditionModel, **UNET, **extra),
            "scheduler": DDIMScheduler(**BETAS, clip_sample=False, steps_offset=1),
            "controlnet": networks(ControlNetModel, **CONTROL, **extra),
            "requires_safety_checker": False,
            "add_watermarker": False,
            **changes,
        }
        pipe = kind(**{name: one for name, one in components.items() if name in known})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


def call_of(kind: type, prompts: int = 1) -> dict[str, Any]:
    """Return the arguments of a short call of a pipeline class."""
    source = torch.Generator().manual_seed(7)

    def random(*shape: int) -> Tensor:
        return torch.randn(prompts, *shape, generator=source)

    name = kind.__name__
    call: dict[str, Any] = {"prompt_embeds": random(5, WIDTH)}
    call["negative_prompt_embeds"] = random(5, WIDTH)
    if "XL" in name:
        call["pooled_prompt_embeds"] = random(POOLED)
        call["negative_pooled_prompt_embeds"] = random(POOLED)
    images = [("image", picture())] if "Img2Img" in name or "Inpaint" in name else []
    if "Inpaint" in name:
        images += [("mask_image", mask()), ("height", 16), ("width", 16)]
    if "ControlNet" in name:
        images += [("control_image" if images else "image", picture())]
    call.update(images)
    if images:
        call["strength"] = 0.8
    if "Img2Img" not in name and "Inpaint" not in name:
        call.pop("strength", None)
    return {**call, "num_inference_steps": 3, "output_type": "np"}


@pytest.fixture
def draw() -> Callable[..., Any]:
    """Draws with a pipeline: `draw(pipe, seed=2, pag_scale=1.5)`."""

    def drawn(pipe: Any, seed: int = 1, prompts: int = 1, **changes: Any) -> Any:
        call = {**call_of(type(pipe), prompts), **changes}
        return pipe(**call, generator=torch.Generator().manual_seed(seed)).images

    return drawn
