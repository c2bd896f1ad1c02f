"""The U-Net with the blocks and conditions of diffusion among pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autopipe.errors import ArgumentError, ConfigError
from autopipe_components.networks.unet import UNet2DConditionModel

MakeUNet = Callable[..., UNet2DConditionModel]
Draw = Callable[..., Tensor]

SECOND_STAGE: dict[str, Any] = {
    "in_channels": 6,
    "class_embed_type": "timestep",
    "only_cross_attention": True,
    "resnet_skip_time_act": True,
    "resnet_out_scale_factor": 2**0.5,
    "mid_block_scale_factor": 2**0.5,
    "time_embedding_act_fn": "gelu",
}
HINTED: dict[str, Any] = {
    "in_channels": 7,
    "encoder_hid_dim_type": "image_proj",
    "addition_embed_type": "image_hint",
    "cross_attention_norm": None,
}


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (5, 1)], ids=str)
def test_the_prediction_has_the_size_of_the_sample(
    make_pixel_unet: MakeUNet, draw: Draw, size: tuple[int, int]
) -> None:
    found = make_pixel_unet()(draw(2, 3, *size), 1, draw(2, 5, 12)).sample
    assert found.shape == (2, 6, *size)
    assert found.isfinite().all()


def test_every_condition_of_a_second_stage_counts(make_pixel_unet: MakeUNet, draw: Draw) -> None:
    unet = make_pixel_unet(**SECOND_STAGE)
    inputs: dict[str, Any] = {
        "sample": draw(1, 6, 8, 8),
        "timestep": torch.tensor([400]),
        "encoder_hidden_states": draw(1, 5, 12),
        "class_labels": torch.tensor([250]),
    }
    found = unet(**inputs).sample
    for name, value in inputs.items():
        assert not torch.equal(unet(**{**inputs, name: value * 2}).sample, found), name


def test_a_hint_is_part_of_the_input(make_pixel_unet: MakeUNet, draw: Draw) -> None:
    unet, x = make_pixel_unet(**HINTED), draw(2, 3, 4, 4)
    added = {"image_embeds": draw(2, 12), "hint": draw(2, 3, 32, 32)}
    assert unet.sample_channels == 3
    found = unet(x, 1, None, added_cond_kwargs=added).sample
    assert found.shape == (2, 6, 4, 4)
    for name in added:
        changed = unet(x, 1, None, added_cond_kwargs={**added, name: -added[name]}).sample
        assert not torch.equal(found, changed)
        with pytest.raises(ArgumentError, match=f"pass '{name}'"):
            unet(x, 1, None, added_cond_kwargs={k: v for k, v in added.items() if k != name})
    with pytest.raises(ArgumentError, match="with 3 channels"):
        unet(draw(2, 7, 4, 4), 1, None, added_cond_kwargs=added)
    alone = {**added, "image_embeds": added["image_embeds"][:1]}
    with pytest.raises(ArgumentError, match="for 1 samples, but there are 2"):
        unet(x, 1, None, added_cond_kwargs=alone)


@pytest.mark.parametrize("changes", [{}, SECOND_STAGE], ids=["first", "second"])
def test_slices_give_the_same_prediction(
    make_pixel_unet: MakeUNet, draw: Draw, changes: dict[str, Any]
) -> None:
    unet = make_pixel_unet(**changes)
    x, c = draw(1, unet.sample_channels, 8, 8), draw(1, 5, 12)
    labels = torch.tensor([9]) if changes else None
    whole = unet(x, 1, c, labels).sample
    for size in ("auto", "max", 3):
        unet.set_attention_slice(size)
        # Attention over fewer heads at once may add up in another order.
        torch.testing.assert_close(unet(x, 1, c, labels).sample, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_every_parameter_and_input(
    make_pixel_unet: MakeUNet, draw: Draw, checkpointing: bool
) -> None:
    unet = make_pixel_unet(**SECOND_STAGE).train()
    x, c = draw(2, 6, 5, 6).requires_grad_(), draw(2, 5, 12).requires_grad_()
    if checkpointing:
        unet.enable_gradient_checkpointing()
    unet(x, 9, c, torch.tensor([0, 250])).sample.square().mean().backward()
    for name, tensor in (*unet.named_parameters(), ("sample", x), ("context", c)):
        assert tensor.grad is not None, name
        assert tensor.grad.isfinite().all(), name


def test_half_precision_in_and_out(make_pixel_unet: MakeUNet, draw: Draw) -> None:
    unet = make_pixel_unet(**HINTED).to(torch.bfloat16)
    # Embeddings come as their encoder made them.
    added = {"image_embeds": draw(1, 12), "hint": draw(1, 3, 32, 32)}
    found = unet(draw(1, 3, 4, 4).bfloat16(), 9, None, added_cond_kwargs=added).sample
    assert found.dtype == torch.bfloat16
    assert found.isfinite().all()


def test_one_time_is_activated_for_all_blocks_or_not_at_all(
    make_pixel_unet: MakeUNet, draw: Draw
) -> None:
    x, c = draw(1, 3, 8, 8), draw(1, 5, 12)
    # An activation of its own does what the blocks otherwise do.
    plain = make_pixel_unet(act_fn="silu")
    moved = make_pixel_unet(act_fn="silu", resnet_skip_time_act=True, time_embedding_act_fn="silu")
    moved.load_state_dict(plain.state_dict())
    assert torch.equal(plain(x, 1, c).sample, moved(x, 1, c).sample)


def test_a_config_makes_the_same_network_again(make_pixel_unet: MakeUNet, draw: Draw) -> None:
    unet = make_pixel_unet(**SECOND_STAGE)
    again = UNet2DConditionModel.from_config(unet.config).eval()
    again.load_state_dict(unet.state_dict())
    x, c, labels = draw(1, 6, 8, 8), draw(1, 5, 12), torch.tensor([3])
    assert torch.equal(again(x, 1, c, labels).sample, unet(x, 1, c, labels).sample)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention_head_dim": 5}, "attention_head_dim is 5.*16 channels"),
        ({"cross_attention_norm": "layer_norm"}, "cross_attention_norm is 'layer_norm'"),
        ({"mid_block_type": "UNetMidBlock2DCrossAttn"}, "supported by UNetMidBlock2DCrossAttn"),
        (
            {"class_embed_type": "timestep", "class_embeddings_concat": True},
            "class_embeddings_concat.*addition_embed_type is 'text'",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_not_supported_is_named(
    make_pixel_unet: MakeUNet, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_pixel_unet(**changes)
