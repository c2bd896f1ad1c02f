"""Pipelines small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.tiny import VAE, seeded

import autopipe
from autopipe import (
    CMStochasticIterativeScheduler,
    DDIMScheduler,
    DDPMScheduler,
    KarrasVeScheduler,
    PNDMScheduler,
    RePaintScheduler,
    ScoreSdeVeScheduler,
    UNet2DModel,
    VQModel,
)

from .small import SMALL, small

SIDE = 8

UNET: dict[str, Any] = {
    "sample_size": SIDE,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}
FIR: dict[str, Any] = {
    **UNET,
    "block_out_channels": (32, 32),
    "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"),
    "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"),
    "time_embedding_type": "fourier",
    "norm_num_groups": None,
    "mid_block_scale_factor": 1.41421356237,
}
SCHEDULERS: dict[str, Callable[[], Any]] = {
    "ConsistencyModelPipeline": CMStochasticIterativeScheduler,
    "DDPMPipeline": DDPMScheduler,
    "DDIMPipeline": DDIMScheduler,
    "PNDMPipeline": PNDMScheduler,
    "LDMPipeline": DDIMScheduler,
    "ScoreSdeVePipeline": lambda: ScoreSdeVeScheduler(sigma_max=20.0, num_train_timesteps=20),
    "KarrasVePipeline": lambda: KarrasVeScheduler(sigma_max=5.0),
    "RePaintPipeline": RePaintScheduler,
}
"""The pipelines on `UNet2DModel`, and the scheduler of each."""


def picture(seed: int = 0, side: int = 32) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    return Image.fromarray(values)


def mask(side: int = 32) -> Image.Image:
    """White, which is kept, on the left."""
    made = Image.new("L", (side, side))
    made.paste(255, (0, 0, side // 2, side))
    return made


@dataclass(frozen=True)
class Case:
    """A pipeline class, and the least that its call needs."""

    kind: type[Any]
    call: dict[str, Any]


def case(name: str) -> Case:
    call: dict[str, Any] = {"num_inference_steps": 4, "output_type": "pt"}
    if name == "RePaintPipeline":
        further = {"image": picture(), "mask_image": mask(), "jump_length": 1, "jump_n_sample": 2}
        call |= further
    return Case(getattr(autopipe, name), call)


@pytest.fixture(params=SCHEDULERS)
def task(request: pytest.FixtureRequest) -> Case:
    """Each class in turn."""
    return case(request.param)


@pytest.fixture(params=[name for name in SCHEDULERS if name != "RePaintPipeline"])
def drawing(request: pytest.FixtureRequest) -> Case:
    """Each class that draws from noise alone."""
    return case(request.param)


@pytest.fixture(scope="session")
def unets() -> Callable[..., Any]:
    """Makes a U-Net, each of a kind once: `unets(num_class_embeds=3)`."""
    made: dict[Any, Any] = {}

    def unet(**changes: Any) -> UNet2DModel:
        key = tuple(sorted(changes.items()))
        if key not in made:
            config = {**(FIR if changes.get("time_embedding_type") else UNET), **changes}
            made[key] = seeded(lambda: UNet2DModel(**config), seed=3)
        return made[key]

    return unet


@pytest.fixture(scope="session")
def vqvae() -> Any:
    config = {**VAE, "latent_channels": 3, "num_vq_embeddings": 32}
    return seeded(lambda: VQModel(**config), seed=4)


@pytest.fixture
def build(unets: Callable[..., Any], vqvae: Any) -> Callable[..., Any]:
    """Makes a pipeline: `build(DDIMPipeline, scheduler=..., num_class_embeds=3)`."""

    def pipeline(kind: type[Any], **changes: Any) -> Any:
        name = kind.__name__
        if name in SMALL:
            return small(name, **changes)
        fir = {"time_embedding_type": "fourier"} if name == "ScoreSdeVePipeline" else {}
        own = {one: changes.pop(one) for one in list(changes) if one not in kind.module_names()}
        given = {"unet": unets(**fir, **own), "scheduler": SCHEDULERS[name]()}
        if "vqvae" in kind.module_names():
            given["vqvae"] = vqvae
        pipe = kind(**{**given, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@pytest.fixture
def seed() -> Callable[[int], torch.Generator]:
    return lambda number=0: torch.Generator().manual_seed(number)
