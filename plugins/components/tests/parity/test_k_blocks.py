"""The U-Net with K blocks against the reference: the names of a real checkpoint, and numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.networks import assert_same_names

from autopipe_components.networks.unet import UNet2DConditionModel

pytestmark = pytest.mark.parity

UPSCALER: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "act_fn": "gelu",
    "attention_head_dim": 64,
    "block_out_channels": (384, 384, 768, 768),
    "conv_in_kernel": 1,
    "conv_out_kernel": 1,
    "cross_attention_dim": 768,
    "down_block_types": ("KDownBlock2D",) + ("KCrossAttnDownBlock2D",) * 3,
    "in_channels": 8,
    "layers_per_block": 4,
    "mid_block_type": None,
    "norm_num_groups": None,
    "out_channels": 5,
    "resnet_time_scale_shift": "scale_shift",
    "time_cond_proj_dim": 896,
    "time_embedding_type": "fourier",
    "timestep_post_act": "gelu",
    "up_block_types": ("KCrossAttnUpBlock2D",) * 3 + ("KUpBlock2D",),
}
"""The config of the latent upscaler of Stable Diffusion."""

SMALL: dict[str, Any] = {
    **{name: value for name, value in UPSCALER.items() if name != "_class_name"},
    "attention_head_dim": 8,
    "block_out_channels": (32, 64, 64),
    "cross_attention_dim": 12,
    "down_block_types": ("KDownBlock2D",) + ("KCrossAttnDownBlock2D",) * 2,
    "layers_per_block": 2,
    "time_cond_proj_dim": 20,
    "up_block_types": ("KCrossAttnUpBlock2D",) * 2 + ("KUpBlock2D",),
}


def test_state_dicts() -> None:
    assert_same_names(UNet2DConditionModel, UPSCALER)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm_num_groups": 8, "layers_per_block": 1},
        {"attention_head_dim": 16, "act_fn": "silu"},
    ],
    ids=str,
)
@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@torch.no_grad()
def test_predictions(changes: dict[str, Any], masked: bool) -> None:
    import diffusers

    torch.manual_seed(0)
    reference = diffusers.UNet2DConditionModel(**{**SMALL, **changes}).eval()
    ours = UNet2DConditionModel(**{**SMALL, **changes}).eval()
    ours.load_state_dict(reference.state_dict())
    given: dict[str, Any] = {
        "timestep": torch.tensor(0.3),
        "encoder_hidden_states": torch.randn(2, 5, 12),
        "timestep_cond": torch.randn(2, 20),
    }
    if masked:
        given["encoder_attention_mask"] = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    x = torch.randn(2, 8, 16, 24)
    expected = reference(x, **given).sample
    assert expected.std() > 0.01
    # The filter is summed by channel here and by all channels there, of which but one are zero.
    assert (ours(x, **given).sample - expected).abs().max() / expected.abs().max() < 1e-5
