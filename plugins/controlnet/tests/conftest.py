"""Networks small enough to run in milliseconds, with seeded random weights.

Prompts are given as embeddings, so no text encoder is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from support.steered import (  # noqa: F401
    NETWORK,
    NOISE,
    POOLED,
    SDXL,
    TOLD,
    UP,
    WIDTH,
    filled,
    installed,
    needs,
    vae,
)

from autopipe import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from autopipe.config import register_to_config
from autopipe.modeling import ModelMixin
from autopipe.pipeline.base import DiffusionPipeline

PICTURE: dict[str, Any] = {"conditioning_embedding_out_channels": (4, 8)}


@pytest.fixture(scope="session")
def unets() -> Callable[..., UNet2DConditionModel]:
    """Makes U-Nets, each of a kind once."""
    made: dict[Any, Any] = {}

    def unet(**changes: Any) -> UNet2DConditionModel:
        key = repr(sorted(changes.items()))
        if key not in made:
            made[key] = filled(lambda: UNet2DConditionModel(**{**NETWORK, **UP, **changes}), 1)
        return made[key]

    return unet


@pytest.fixture(scope="session")
def controlnets() -> Callable[..., ControlNetModel]:
    """Makes ControlNets, each of a kind and seed once."""
    made: dict[Any, Any] = {}

    def controlnet(seed: int = 2, **changes: Any) -> ControlNetModel:
        key = seed, repr(sorted(changes.items()))
        if key not in made:
            made[key] = filled(lambda: ControlNetModel(**{**NETWORK, **PICTURE, **changes}), seed)
        return made[key]

    return controlnet


@pytest.fixture
def build(
    vae: AutoencoderKL,  # noqa: F811
    unets: Callable[..., UNet2DConditionModel],
    controlnets: Callable[..., ControlNetModel],
) -> Callable[..., Any]:
    """Makes a pipeline of any of the twelve classes: `build(kind, controlnet=...)`."""

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
        if "controlnet" in known:
            components["controlnet"] = controlnets(**extra)
        if "add_watermarker" in known:
            components["add_watermarker"] = False
        pipe: Any = kind(**{**components, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


class NoEncoder(ModelMixin):
    """In the place of a text encoder, where texts are not read."""

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))


class NoTokenizer:
    """In the place of a tokenizer."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("these calls bring their embeddings")


@pytest.fixture
def whole(build: Callable[..., Any]) -> Callable[..., Any]:
    """As `build`, with stand-ins for what views can't be without."""

    def pipeline(kind: type[DiffusionPipeline], **changes: Any) -> Any:
        if "XL" not in kind.__name__:
            changes = {"text_encoder": NoEncoder(), "tokenizer": NoTokenizer(), **changes}
        return build(kind, **changes)

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


def picture(seed: int = 0, width: int = 16, height: int = 16) -> Image.Image:
    """A random RGB picture, smooth enough that resizing it keeps something of it."""
    noise = torch.rand(4, 4, 3, generator=torch.Generator().manual_seed(seed))
    small = Image.fromarray((noise * 255).to(torch.uint8).numpy())
    return small.resize((width, height), Image.Resampling.BICUBIC)
