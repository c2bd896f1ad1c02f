"""The network: what it adds, how it begins, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe import ControlNetModel, UNet2DConditionModel
from autopipe.errors import ArgumentError, ConfigError

from .conftest import NETWORK, PICTURE

Make = Callable[..., ControlNetModel]


def inputs(batch: int = 1, seed: int = 3, size: int = 8) -> dict[str, Any]:
    source = torch.Generator().manual_seed(seed)
    return {
        "sample": torch.randn(batch, 4, size, size, generator=source),
        "timestep": 500,
        "encoder_hidden_states": torch.randn(batch, 5, 12, generator=source),
        "controlnet_cond": torch.rand(batch, 3, 2 * size, 2 * size, generator=source),
    }


def test_it_adds_to_each_skip_connection_and_the_mid_block(
    controlnets: Make, unets: Callable[..., UNet2DConditionModel]
) -> None:
    given = inputs(2)
    added = controlnets()(**given)
    down, mid = added.down_block_res_samples, added.mid_block_res_sample
    assert [tuple(one.shape) for one in down] == [
        (2, 16, 8, 8),
        (2, 16, 8, 8),
        (2, 16, 4, 4),
        (2, 32, 4, 4),
    ]
    assert mid.shape == (2, 32, 4, 4)
    picture = given.pop("controlnet_cond")
    unet = unets()
    steered = unet(
        **given, down_block_additional_residuals=down, mid_block_additional_residual=mid
    ).sample
    assert not torch.allclose(steered, unet(**given).sample)
    assert picture.shape == (2, 3, 16, 16)


def test_one_made_of_a_unet_adds_nothing_until_it_is_trained(
    unets: Callable[..., UNet2DConditionModel],
) -> None:
    unet = unets()
    made = ControlNetModel.from_unet(unet, **PICTURE)
    down, mid = made(**inputs(), return_dict=False)
    assert not any(one.any() for one in (*down, mid))
    state, own = unet.state_dict(), made.state_dict()
    shared = [name for name in own if name in state]
    assert all(torch.equal(own[name], state[name]) for name in shared)
    assert {"conv_in.weight", "time_embedding.linear_1.weight"} < set(shared)
    # A copy: training it must not change the U-Net.
    with torch.no_grad():
        made.conv_in.weight.add_(1)
    assert not torch.equal(made.conv_in.weight, unet.state_dict()["conv_in.weight"])


def test_one_can_be_made_without_the_weights(unets: Callable[..., UNet2DConditionModel]) -> None:
    made = ControlNetModel.from_unet(unets(), load_weights_from_unet=False, **PICTURE)
    assert not torch.equal(made.conv_in.weight, unets().conv_in.weight)


def test_a_unet_with_another_kind_of_time_embedding_is_refused() -> None:
    unet = UNet2DConditionModel(
        **{**NETWORK, "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")},
        time_embedding_type="fourier",
    )
    with pytest.raises(ConfigError, match="fourier"):
        ControlNetModel.from_unet(unet)


def test_the_picture_matters(controlnets: Make) -> None:
    net, given = controlnets(), inputs()
    plain = net(**given).mid_block_res_sample
    given["controlnet_cond"] = 1 - given["controlnet_cond"]
    assert not torch.allclose(net(**given).mid_block_res_sample, plain)


def test_bgr_networks_see_the_channels_reversed(controlnets: Make) -> None:
    rgb = controlnets()
    bgr = controlnets(controlnet_conditioning_channel_order="bgr")
    bgr.load_state_dict(rgb.state_dict())
    given = inputs()
    flipped = {**given, "controlnet_cond": given["controlnet_cond"].flip(1)}
    assert torch.equal(bgr(**given)[1], rgb(**flipped)[1])


def test_scale_is_a_factor(controlnets: Make) -> None:
    net, given = controlnets(), inputs()
    whole, half = net(**given), net(**given, conditioning_scale=0.5)
    for one, other in zip(whole[0], half[0]):
        assert torch.equal(one * 0.5, other)
    assert torch.equal(whole[1] * 0.5, half[1])


def test_guess_mode_weighs_from_a_tenth_to_all(controlnets: Make) -> None:
    net, given = controlnets(), inputs()
    plain, guessed = net(**given), net(**given, guess_mode=True)
    factors = [(g / p).mean() for g, p in zip((*guessed[0], guessed[1]), (*plain[0], plain[1]))]
    assert float(factors[0]) == pytest.approx(0.1)
    assert float(factors[-1]) == pytest.approx(1.0)
    # Geometric: each is the same multiple of the one before.
    ratios = [float(b / a) for a, b in pairwise(factors)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios), rel=1e-4)


def test_pooled_features_have_no_place(controlnets: Make) -> None:
    net, given = controlnets(global_pool_conditions=True), inputs()
    plain = controlnets()
    net.load_state_dict(plain.state_dict())
    pooled, spread = net(**given, guess_mode=True), plain(**given)
    for one, other in zip((*pooled[0], pooled[1]), (*spread[0], spread[1])):
        assert torch.allclose(one, other.mean((2, 3), keepdim=True), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"sample": torch.zeros(1, 3, 8, 8)}, "4 channels"),
        ({"controlnet_cond": torch.zeros(1, 1, 16, 16)}, "3 channels"),
        ({"controlnet_cond": torch.zeros(1, 3, 8, 8)}, "2 times as large"),
        ({"cross_attention_kwargs": {"scael": 1.0}}, "scale"),
        ({"timestep_cond": torch.zeros(1, 4)}, "timestep_cond"),
        ({"class_labels": torch.zeros(1)}, "class_labels"),
        ({"timestep": torch.zeros(3)}, "timesteps"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_inputs_that_do_not_fit_are_refused(
    controlnets: Make, changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(ArgumentError, match=word):
        controlnets()(**{**inputs(), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"controlnet_conditioning_channel_order": "gbr"},
        {"conditioning_embedding_out_channels": ()},
        {"down_block_types": ("DownBlock2D",)},
        {"mid_block_type": "MidBlock"},
        {"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"},
        {"norm_num_groups": 7},
        {"addition_embed_type": "text_time"},
        {"class_embed_type": "projection"},
        {"encoder_hid_dim_type": "text_proj"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_configs_that_contradict_themselves_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ControlNetModel(**{**NETWORK, **PICTURE, **changes})


def test_folders(controlnets: Make, tmp_path: Path) -> None:
    net = controlnets()
    net.save_pretrained(tmp_path)
    back = ControlNetModel.from_pretrained(tmp_path)
    assert back.config["conditioning_embedding_out_channels"] == [4, 8]
    assert torch.equal(back(**inputs())[1], net(**inputs())[1])


def test_slices_change_nothing(controlnets: Make) -> None:
    net = controlnets(seed=8)
    plain = net(**inputs())[1]
    net.set_attention_slice("max")
    # Heads one by one are summed in another order.
    assert torch.allclose(net(**inputs())[1], plain, atol=1e-5)


def test_gradients_can_be_recomputed() -> None:
    torch.manual_seed(0)
    net = ControlNetModel(**NETWORK, **PICTURE)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.01)

    def gradient() -> torch.Tensor:
        net.zero_grad()
        net(**inputs())[1].square().sum().backward()
        assert net.conv_in.weight.grad is not None
        return net.conv_in.weight.grad.clone()

    stored = gradient()
    net.enable_gradient_checkpointing()
    assert torch.allclose(gradient(), stored)
