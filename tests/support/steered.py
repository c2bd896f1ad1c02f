"""What tests of ControlNets and adapters share: configs of small networks, and random weights.

The networks run in milliseconds. Prompts are given as embeddings, so no text encoder is needed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe import AutoencoderKL

WIDTH, POOLED = 12, 10

NETWORK: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
}
"""What a U-Net and its ControlNet have in common."""
UP: dict[str, Any] = {"sample_size": 8, "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
SDXL: dict[str, Any] = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": POOLED + 6 * 4,
}
VAE: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "sample_size": 16,
    "force_upcast": False,
}
NOISE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
}
TOLD: dict[str, Any] = {
    "safety_checker": None,
    "feature_extractor": None,
    "requires_safety_checker": False,
}


def installed(family: str) -> bool:
    return importlib.util.find_spec(f"autopipe_{family}") is not None


def needs(family: str) -> pytest.MarkDecorator:
    """Skips what can't be tested without a family, for packages that need none themselves."""
    return pytest.mark.skipif(not installed(family), reason=f"the family {family} is not installed")


def filled(make: Callable[[], Any], seed: int) -> Any:
    """A network in which nothing is zero, as everything leading out of a new ControlNet is."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = make().eval().requires_grad_(False)
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.3)
    return network


@pytest.fixture(scope="session")
def vae() -> AutoencoderKL:
    return filled(lambda: AutoencoderKL(**VAE), 0)
