"""Guidance in a part of the steps: which steps run which half, in every family."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from autopipe import ControlNetModel, EulerDiscreteScheduler, UNet2DConditionModel
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.networks.unet_blocks import MidBlock
from autopipe_speedups.guidance_interval import GuidanceInterval

from .conftest import Drawing

Runs = Callable[[type[nn.Module]], list[int]]


def test_steps_outside_run_half_of_the_batch(family: Drawing, runs: Runs) -> None:
    plain = family()
    family.pipe.attach("guidance_interval", interval=(0.0, 0.5))
    batches = runs(UNet2DConditionModel)
    partly = family()
    half = len(batches) // 2
    assert batches == [2] * half + [1] * (len(batches) - half)
    assert not torch.equal(partly, plain)
    assert torch.isfinite(partly).all()


def test_in_all_steps_nothing_changes(family: Drawing) -> None:
    plain = family()
    family.pipe.attach("guidance_interval")
    assert torch.equal(family(guidance_interval=[0, 1]), plain)
    assert torch.equal(family(adapters={}), plain)
    assert torch.equal(family(guidance_sigmas=(0.0, 1e9)), plain)


def test_steps_outside_are_those_of_a_call_without_guidance(family: Drawing) -> None:
    # The middle of the only step is before the interval.
    family.pipe.attach("guidance_interval", interval=(0.6, 1.0))
    outside = family(num_inference_steps=1)
    unguided = family(num_inference_steps=1, guidance_scale=1.0, adapters={})
    # Kandinsky's priors keep their guidance, which guidance_scale of a combined call leaves alone.
    assert torch.equal(outside, unguided)


def test_noise_levels_choose_steps_too(demo: Drawing, runs: Runs) -> None:
    demo.pipe.attach("guidance_interval")
    demo.pipe.scheduler = EulerDiscreteScheduler.from_config(demo.pipe.scheduler.config)
    batches = runs(UNet2DConditionModel)
    levels: list[float] = []

    def see(pipe: Any, step: int, timestep: Any, tensors: Any) -> dict[str, Any]:
        levels.append(float(pipe.scheduler.sigmas[step]))
        return {}

    demo(callback_on_step_end=see, guidance_sigmas=(0.5, 5.0))
    assert batches == [2 if 0.5 <= level <= 5.0 else 1 for level in levels]
    assert len(set(batches)) == 2


def test_a_controlnet_gets_the_same_half(controlled: Drawing, runs: Runs) -> None:
    controlled.pipe.attach("guidance_interval", interval=(0.0, 0.5))
    batches = runs(ControlNetModel)
    controlled()
    assert batches == [2] * 3 + [1] * 3
    batches.clear()
    controlled(guess_mode=True)
    assert batches == [1] * 6


def test_threads_are_bitwise_serial(demo: Drawing) -> None:
    demo.pipe.attach("guidance_interval")
    calls = [{"seed": n, "guidance_interval": (0.0, (1 + n) / 8)} for n in range(8)]
    serial = [demo(**one) for one in calls]
    with ThreadPoolExecutor(8) as threads:
        drawn = threads.map(lambda one: demo(**one), calls)
        assert all(map(torch.equal, drawn, serial))


def test_with_a_step_cache_a_change_of_halves_is_a_full_step(demo: Drawing, runs: Runs) -> None:
    demo.pipe.attach("guidance_interval", interval=(0.0, 0.5))
    demo.pipe.attach("step_cache", interval=4)
    middle = runs(MidBlock)
    demo()
    assert middle == [2, 1, 1]  # Steps 0, 3 (the first without guidance) and 4.


def test_callbacks_still_see_both_halves(demo: Drawing) -> None:
    demo.pipe.attach("guidance_interval", interval=(0.0, 0.5))
    seen: list[tuple[int, int]] = []

    def see(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append((len(tensors["prompt_embeds"]), len(tensors["negative_prompt_embeds"])))
        return {}

    names = ["prompt_embeds", "negative_prompt_embeds"]
    demo(callback_on_step_end=see, callback_on_step_end_tensor_inputs=names)
    assert len(set(seen)) == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"guidance_interval": (0.8, 0.2)}, ArgumentError),
        ({"guidance_interval": (0.0, 2.0)}, ArgumentError),
        ({"guidance_interval": (-1, 1)}, ArgumentError),
        ({"guidance_interval": 0.5}, ArgumentTypeError),
        ({"guidance_interval": "0 1"}, ArgumentTypeError),
        ({"guidance_interval": (0.1, 0.2, 0.3)}, ArgumentTypeError),
        ({"guidance_interval": (0.0, "1")}, ArgumentTypeError),
        ({"guidance_sigmas": (5.0, 0.3)}, ArgumentError),
        ({"guidance_sigmas": (0.0, float("nan"))}, ArgumentError),
        ({"guidance_interval": (0, 1), "guidance_sigmas": (0, 1)}, ArgumentError),
    ],
)
def test_what_can_not_be_used_is_refused(
    demo: Drawing, options: dict[str, Any], error: type[Exception]
) -> None:
    demo.pipe.attach("guidance_interval")
    with pytest.raises(error, match=next(iter(options))):
        demo(**options)
    names = {name.removeprefix("guidance_"): value for name, value in options.items()}
    if len(names) == 1:
        with pytest.raises(error):
            GuidanceInterval(**names)


def test_a_scheduler_without_noise_levels_is_refused(demo: Drawing) -> None:
    addon = GuidanceInterval(sigmas=(0.3, 5.0))
    run: Any = SimpleNamespace(scheduler=SimpleNamespace())
    with pytest.raises(ArgumentError, match="give guidance_interval instead"):
        addon.choice(run, {})


def test_a_pipeline_that_is_not_guided_is_refused(demo: Drawing) -> None:
    from autopipe import KandinskyV22PriorPipeline

    prior = object.__new__(KandinskyV22PriorPipeline)
    with pytest.raises(ArgumentError, match="KandinskyV22PriorPipeline doesn't"):
        GuidanceInterval().check(prior)
