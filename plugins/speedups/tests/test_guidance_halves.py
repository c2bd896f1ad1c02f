"""The halves of guidance in one batch, or one after the other: the same result, other batches."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from autopipe import UNet2DConditionModel
from autopipe.errors import ArgumentError
from autopipe_components.networks.unet_blocks import MidBlock
from autopipe_speedups.guidance_halves import GuidanceHalves

from .conftest import Drawing

Runs = Callable[[type[nn.Module]], list[int]]


def test_in_turn_is_the_same_in_batches_of_half_the_size(family: Drawing, runs: Runs) -> None:
    plain = family()
    family.pipe.attach("guidance_halves", halves="in turn")
    batches = runs(UNet2DConditionModel)
    in_turn = family()
    assert set(batches) == {1}
    steps = len(batches) // 2
    # Rounding: kernels add up in another order for another batch size. Random networks with
    # pixels amplify it from step to step.
    assert (in_turn - plain).abs().max() < 1e-3
    batches.clear()
    assert torch.equal(family(guidance_halves="batched"), plain)
    assert batches == [2] * steps
    batches.clear()
    family(guidance_scale=1.0)
    assert batches == [1] * steps


def test_it_is_chosen_by_the_free_memory(demo: Drawing, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = demo()
    demo.pipe.attach("guidance_halves")
    assert torch.equal(demo(), plain)
    asked: list[int] = []

    def free() -> dict[torch.device, int]:
        asked.append(1)
        return {torch.device("cpu"): 1000}

    monkeypatch.setattr("autopipe_speedups.guidance_halves.free_memory", free)
    in_turn = demo()
    assert asked
    assert torch.equal(in_turn, demo(guidance_halves="in turn"))
    assert torch.equal(demo(guidance_halves="batched"), plain)


def test_with_a_step_cache_each_half_keeps_its_own_features(demo: Drawing, runs: Runs) -> None:
    demo.pipe.attach("step_cache", interval=3)
    cached = demo()
    demo.pipe.attach("guidance_halves", halves="in turn")
    middle = runs(MidBlock)
    assert (demo() - cached).abs().max() < 1e-3  # rounding, as above
    assert middle == [1] * 4


def test_with_an_interval_both_act(demo: Drawing, runs: Runs) -> None:
    demo.pipe.attach("guidance_interval", interval=(0.0, 0.5))
    interval = demo()
    demo.pipe.attach("guidance_halves", halves="in turn")
    batches = runs(UNet2DConditionModel)
    assert (demo() - interval).abs().max() < 1e-3  # rounding, as above
    assert batches == [1] * (3 * 2 + 3)


@pytest.mark.parametrize("halves", ["positive", "both", "", 2])
def test_what_can_not_be_used_is_refused(demo: Drawing, halves: str) -> None:
    demo.pipe.attach("guidance_halves")
    with pytest.raises(ArgumentError, match=r"guidance_halves is .* give one of auto, batched"):
        demo(guidance_halves=halves)
    with pytest.raises(ArgumentError):
        GuidanceHalves(halves)
