"""The U-Net without a prompt against the reference, at real configs and at random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.networks import assert_same_names
from torch import Tensor

from autopipe_components.networks.unet_2d import UNet2DModel

pytestmark = pytest.mark.parity

# The same sums in another order: float32 has 7 digits, and a few hundred roundings are between
# input and output. Largest difference over largest value.
TOLERANCE = 1e-5

CIFAR10: dict[str, Any] = {
    "attention_head_dim": None,
    "block_out_channels": (128, 256, 256, 256),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
    "sample_size": 32,
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
}
NCSNPP: dict[str, Any] = {
    "attention_head_dim": None,
    "block_out_channels": (128, 128, 256, 256, 256, 256, 256),
    "down_block_types": (
        *("SkipDownBlock2D",) * 4,
        "AttnSkipDownBlock2D",
        *("SkipDownBlock2D",) * 2,
    ),
    "mid_block_scale_factor": 1.41421356237,
    "norm_eps": 1e-6,
    "norm_num_groups": None,
    "sample_size": 256,
    "time_embedding_type": "fourier",
    "up_block_types": (*("SkipUpBlock2D",) * 2, "AttnSkipUpBlock2D", *("SkipUpBlock2D",) * 4),
}
BASE: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}
SKIP: dict[str, Any] = {
    "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"),
    "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"),
    "time_embedding_type": "fourier",
}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "early": {
        "down_block_types": ("UNetResDownBlock2D", "UNetResAttnDownBlock2D"),
        "up_block_types": ("UNetResAttnUpBlock2D", "UNetResUpBlock2D"),
        **{n: CIFAR10[n] for n in ("attention_head_dim", "downsample_padding", "freq_shift")},
    },
    "residual sampling": {
        "down_block_types": ("AttnDownBlock2D", "ResnetDownsampleBlock2D"),
        "up_block_types": ("ResnetUpsampleBlock2D", "AttnUpBlock2D"),
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "resnet_time_scale_shift": "scale_shift",
        "act_fn": "gelu",
    },
    "scaled": {
        "resnet_time_scale_shift": "scale_shift",
        "attn_norm_num_groups": 4,
        "mid_block_scale_factor": 1.41,
        "center_input_sample": True,
    },
    "heads that don't divide": {"attention_head_dim": 12, "time_embedding_dim": 24},
    "skip": {**SKIP, "norm_num_groups": None, "mid_block_scale_factor": 1.41421356},
    "skip among others": {
        **SKIP,
        "block_out_channels": (32, 32, 64),
        "down_block_types": (*SKIP["down_block_types"], "DownBlock2D"),
        "up_block_types": ("UpBlock2D", *SKIP["up_block_types"]),
        "layers_per_block": 2,
    },
    "no mid block": {"mid_block_type": None},
    "no attention between": {"add_attention": False, "num_class_embeds": 7},
    "labels as timesteps": {"class_embed_type": "timestep"},
    "learned": {"time_embedding_type": "learned", "num_train_timesteps": 20},
}


@pytest.mark.parametrize("config", [CIFAR10, NCSNPP, {}], ids=["cifar10", "ncsnpp", "defaults"])
def test_names_and_shapes_of_parameters(config: dict[str, Any]) -> None:
    assert_same_names(UNet2DModel, config)


@pytest.mark.parametrize("case", CASES)
def test_the_same_prediction(case: str) -> None:
    from diffusers import UNet2DModel as Reference

    config = {**BASE, **CASES[case]}
    torch.manual_seed(0)
    theirs = Reference(**config).eval()
    ours = UNet2DModel(**config).eval()
    ours.load_state_dict(theirs.state_dict())
    sample = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    has_classes = config.keys() & {"num_class_embeds", "class_embed_type"}
    labels = torch.tensor([1, 5]) if has_classes else None
    for timestep in (7, torch.tensor(3), torch.tensor([2, 9])):
        with torch.no_grad():
            expected: Tensor = theirs(sample, timestep, labels).sample
            found: Tensor = ours(sample, timestep, labels).sample
        difference = (found - expected).abs().max() / expected.abs().max()
        assert difference <= TOLERANCE, float(difference)
