"""The U-Net with K blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autopipe.errors import ArgumentError, ConfigError
from autopipe_components.networks.k_blocks import doubled, halved
from autopipe_components.networks.unet import UNet2DConditionModel

MakeUNet = Callable[..., UNet2DConditionModel]
Draw = Callable[..., Tensor]

K: dict[str, Any] = {
    "in_channels": 8,
    "out_channels": 5,
    "block_out_channels": (32, 64),
    "down_block_types": ("KDownBlock2D", "KCrossAttnDownBlock2D"),
    "mid_block_type": None,
    "up_block_types": ("KCrossAttnUpBlock2D", "KUpBlock2D"),
    "norm_num_groups": None,
    "time_cond_proj_dim": 6,
    "time_embedding_type": "fourier",
    "layers_per_block": 2,
}


@pytest.fixture
def unet(make_unet: MakeUNet) -> UNet2DConditionModel:
    return make_unet(**K)


def test_every_input_counts(unet: UNet2DConditionModel, draw: Draw) -> None:
    inputs = {
        "sample": draw(2, 8, 4, 8),
        "timestep": torch.tensor(0.4),
        "encoder_hidden_states": draw(2, 5, 12),
        "timestep_cond": draw(2, 6),
    }
    found = unet(**inputs).sample
    assert found.shape == (2, 5, 4, 8)
    for name, value in inputs.items():
        # Twice the prompt is the same prompt to a layer norm.
        assert not torch.equal(unet(**{**inputs, name: value.flip(-1) if value.ndim else 2 * value})
                               .sample, found), name  # fmt: skip


def test_fused_projections_and_slices_give_the_same(unet: UNet2DConditionModel, draw: Draw) -> None:
    given = draw(1, 8, 4, 4), torch.tensor(0.4), draw(1, 5, 12)
    plain = unet(*given).sample
    unet.set_attention_slice(1)
    assert torch.allclose(unet(*given).sample, plain, atol=1e-5)
    unet.set_attention_slice(None)
    unet.fuse_qkv_projections()
    assert torch.allclose(unet(*given).sample, plain, atol=1e-5)


def test_checkpointing_gives_the_same_gradients(unet: UNet2DConditionModel, draw: Draw) -> None:
    given = draw(1, 8, 4, 4), torch.tensor(0.4), draw(1, 5, 12)

    def gradients() -> list[Tensor]:
        unet.zero_grad()
        unet.train()(*given).sample.square().mean().backward()
        return [one.grad for one in unet.parameters() if one.grad is not None]

    plain = gradients()
    unet.enable_gradient_checkpointing()
    assert all(map(torch.equal, plain, gradients()))


@pytest.mark.parametrize("size", [(5, 4), (2, 4)], ids=str)
def test_a_size_that_can_not_be_halved_is_refused(
    unet: UNet2DConditionModel, draw: Draw, size: tuple[int, int]
) -> None:
    with pytest.raises(ArgumentError, match="give a sample whose sides it can halve"):
        unet(draw(1, 8, *size), torch.tensor(0.4), draw(1, 5, 12))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mid_block_type": "UNetMidBlock2D"}, "can't be combined with UNetMidBlock2D"),
        ({"up_block_types": ("KCrossAttnUpBlock2D", "UpBlock2D")}, "combined with UpBlock2D"),
        ({"block_out_channels": (32, 48)}, "needs multiples of 32"),
        ({"attention_head_dim": 24}, "is the width of a head"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_config_without_sense_is_refused(
    make_unet: MakeUNet, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_unet(**{**K, **changes})


def test_the_filter_keeps_what_is_constant_and_halves_a_ramp(draw: Draw) -> None:
    flat = torch.full((1, 2, 6, 8), 3.0)
    assert torch.allclose(halved(flat), torch.full((1, 2, 3, 4), 3.0))
    assert torch.allclose(doubled(flat), torch.full((1, 2, 12, 16), 3.0))
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    # Pixel centres: the mean of the columns 2i and 2i + 1, away from the reflected edges.
    assert torch.allclose(halved(ramp)[..., 1:-1], torch.arange(2.5, 13, 2).expand(1, 1, 8, 6))
