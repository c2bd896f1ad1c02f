from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from autopipe.errors import ConfigError
from autopipe_components.networks.resnet import (
    Downsample2D,
    ResnetBlock2D,
    ResnetDownsample2D,
    ResnetOptions,
    ResnetUpsample2D,
    Upsample2D,
)

OPTIONS = ResnetOptions(time_channels=6, eps=1e-5, groups=2, act_fn="silu")


def zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def test_a_block_whose_last_convolution_is_zero_passes_its_input() -> None:
    block = ResnetBlock2D(4, 4, OPTIONS)
    zero(block.conv2)
    x = torch.randn(2, 4, 5, 3)
    assert torch.equal(block(x, torch.randn(2, 6)), x)


def test_the_sum_of_the_branches_is_divided_by_the_factor() -> None:
    block = ResnetBlock2D(4, 4, replace(OPTIONS, output_scale_factor=2.0))
    zero(block.conv2)
    x = torch.randn(1, 4, 3, 3)
    assert torch.equal(block(x, torch.randn(1, 6)), x / 2)


@pytest.mark.parametrize(("kind", "width"), [("default", 8), ("scale_shift", 16)])
def test_time_acts_through_its_projection_alone(kind: str, width: int) -> None:
    block = ResnetBlock2D(4, 8, replace(OPTIONS, time_scale_shift=kind))
    assert block.time_emb_proj is not None
    assert block.time_emb_proj.out_features == width
    x, early, late = torch.randn(1, 4, 3, 3), torch.randn(1, 6), torch.randn(1, 6)
    assert not torch.equal(block(x, early), block(x, late))
    zero(block.time_emb_proj)
    assert torch.equal(block(x, early), block(x, late))


def test_a_scale_of_zero_and_a_shift_of_zero_change_nothing() -> None:
    torch.manual_seed(0)
    timeless = ResnetBlock2D(4, 4, replace(OPTIONS, time_channels=None))
    timed = ResnetBlock2D(4, 4, replace(OPTIONS, time_scale_shift="scale_shift"))
    timed.load_state_dict(timeless.state_dict(), strict=False)
    assert timed.time_emb_proj is not None
    zero(timed.time_emb_proj)
    x = torch.randn(1, 4, 3, 3)
    torch.testing.assert_close(timed(x, torch.randn(1, 6)), timeless(x))


def test_an_unknown_way_of_using_time_is_named() -> None:
    with pytest.raises(ConfigError, match=r"resnet_time_scale_shift is 'spatial'"):
        ResnetBlock2D(4, 4, replace(OPTIONS, time_scale_shift="spatial"))


@pytest.mark.parametrize(("padding", "size"), [(1, (4, 3)), (0, (3, 3))])
def test_downsampling_halves_and_rounds(padding: int, size: tuple[int, int]) -> None:
    made = Downsample2D(2, padding=padding)(torch.zeros(1, 2, 7, 6))
    assert made.shape == (1, 2, *size)


def test_padding_of_zero_pads_below_and_to_the_right() -> None:
    down = Downsample2D(1, padding=0)
    nn.init.ones_(down.conv.weight)
    nn.init.zeros_(down.conv.bias)
    assert down(torch.ones(1, 1, 4, 4)).tolist() == [[[[9, 6], [6, 4]]]]


def test_upsampling_doubles_or_meets_a_size() -> None:
    up = Upsample2D(2)
    x = torch.zeros(1, 2, 3, 4)
    assert up(x).shape == (1, 2, 6, 8)
    assert up(x, torch.Size((5, 7))).shape == (1, 2, 5, 7)


def test_a_block_halves_its_shortcut_by_means() -> None:
    block = ResnetDownsample2D(4, 4, OPTIONS)
    zero(block.conv2)
    x = torch.randn(2, 4, 6, 8)
    means = x.unflatten(3, (4, 2)).unflatten(2, (3, 2)).mean(dim=(3, 5))
    torch.testing.assert_close(block(x, torch.randn(2, 6)), means)


@pytest.mark.parametrize("kind", [ResnetDownsample2D, ResnetUpsample2D])
def test_both_branches_of_a_block_change_resolution(kind: type[ResnetBlock2D]) -> None:
    block = kind(4, 4, OPTIONS)
    x, time = torch.randn(1, 4, 7, 1), torch.randn(1, 6)
    expected = (4, 1) if kind is ResnetDownsample2D else (14, 2)
    assert block(x, time).shape == (1, 4, *expected)
    assert not torch.equal(block(x, time), block(x, time + 1))


def test_a_block_repeats_its_shortcut_or_meets_a_size() -> None:
    block = ResnetUpsample2D(4, 4, OPTIONS)
    zero(block.conv2)
    x, time = torch.randn(1, 4, 2, 3), torch.randn(1, 6)
    doubled = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(block(x, time), doubled)
    assert torch.equal(block(x, time, torch.Size((3, 5))), doubled[:, :, :3, :5])
