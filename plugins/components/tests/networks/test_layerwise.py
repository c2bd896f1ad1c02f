"""Layerwise casting: where weights are stored, what computes, and threads."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentTypeError
from autopipe_components.networks.unet import UNet2DConditionModel

MakeUNet = Callable[..., UNet2DConditionModel]
F8 = torch.float8_e4m3fn


@pytest.fixture
def given(draw: Callable[..., Tensor]) -> tuple[Any, ...]:
    return draw(2, 4, 8, 8), 5, draw(2, 3, 12)


def rounded(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The network with the weights of the same layers rounded, in plain float32."""
    made = copy.deepcopy(unet)
    for path, module in made.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)) and "norm" not in path:
            for parameter in module.parameters():
                parameter.data = parameter.data.to(F8).float()
    return made


def test_weights_are_stored_small_and_computed_large(make_unet: MakeUNet, given: Any) -> None:
    unet = make_unet()
    expected, before = rounded(unet)(*given).sample, unet.get_memory_footprint()
    names = list(unet.state_dict())
    unet.enable_layerwise_casting(F8, torch.float32)
    assert torch.equal(unet(*given).sample, expected)
    assert unet.get_memory_footprint() < 0.3 * before
    assert unet.dtype == torch.float32
    assert list(unet.state_dict()) == names
    assert unet.conv_in.weight.dtype == F8
    assert unet.conv_norm_out.weight.dtype == torch.float32
    unet.enable_layerwise_casting(F8)  # Again changes nothing.
    assert torch.equal(unet(*given).sample, expected)


def test_chosen_layers_stay(make_unet: MakeUNet) -> None:
    unet = make_unet()
    unet.enable_layerwise_casting(
        torch.bfloat16, skip_modules_pattern=["up_blocks"], skip_modules_classes=[nn.Conv2d]
    )
    kinds = {
        (path.partition(".")[0], type(module).__mro__[1]): module.weight.dtype
        for path, module in unet.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and type(module) not in (nn.Linear, nn.Conv2d)
    }
    assert {block for block, _ in kinds} == {"time_embedding", "down_blocks", "mid_block"}
    assert {kind for _, kind in kinds} == {nn.Linear}
    assert set(kinds.values()) == {torch.bfloat16}


@pytest.mark.parametrize("way", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies(make_unet: MakeUNet, given: Any, way: Callable[[Any], Any]) -> None:
    unet = make_unet()
    unet.enable_layerwise_casting(torch.bfloat16)
    assert torch.equal(way(unet)(*given).sample, unet(*given).sample)


def test_threads_share_it(make_unet: MakeUNet, draw: Callable[..., Tensor]) -> None:
    unet = make_unet()
    unet.enable_layerwise_casting()
    calls = [(draw(1, 4, 8, 8), n, draw(1, 3, 12)) for n in range(8)]

    def run(call: Any) -> Tensor:
        with torch.no_grad():
            return unet(*call).sample

    serial = [run(one) for one in calls]
    with ThreadPoolExecutor(8) as threads:
        assert all(map(torch.equal, threads.map(run, calls), serial))


def test_what_is_not_a_dtype_of_floats_is_refused(make_unet: MakeUNet) -> None:
    for options in ({"storage_dtype": torch.int8}, {"compute_dtype": "float32"}):
        with pytest.raises(ArgumentTypeError, match=next(iter(options))):
            make_unet().enable_layerwise_casting(**options)
