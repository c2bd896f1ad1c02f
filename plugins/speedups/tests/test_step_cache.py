"""The step cache: which steps are shallow, in every family, and that nothing else changes."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
import torch
from torch import nn

from autopipe import AutoPipelineForImage2Image, ControlNetModel, UNet2DConditionModel
from autopipe.attaching.attachment import Attachment
from autopipe.attaching.engine import NetworkEngine
from autopipe.errors import ArgumentError, ArgumentTypeError, CancelledError
from autopipe_components.networks.unet_blocks import MidBlock, UpBlock
from autopipe_components.networks.unet_passage import skip_count
from autopipe_speedups.family import autopipe_family
from autopipe_speedups.step_cache import StepCache

from .conftest import Drawing

Runs = Callable[[type[nn.Module]], list[int]]


def test_shallow_steps_leave_out_the_middle_of_the_network(family: Drawing, runs: Runs) -> None:
    plain = family()
    family.pipe.attach("step_cache", interval=3)
    whole, middle, up = runs(UNet2DConditionModel), runs(MidBlock), runs(UpBlock)
    cached = family()
    blocks = len(family.pipe.unet.up_blocks)
    steps, full = len(whole), len(whole) // 3
    assert steps >= 6
    has_controlnet = "controlnet" in family.pipe.components
    assert len(middle) == full * (2 if has_controlnet else 1)
    # A full step runs the last block in two parts.
    assert len(up) == full * (blocks + 1) + (steps - full)
    assert cached.shape == plain.shape
    assert not torch.equal(cached, plain)
    assert torch.isfinite(cached).all()


def test_off_or_with_an_interval_of_one_nothing_changes(family: Drawing) -> None:
    unet, plain = family.pipe.unet, family()
    family.pipe.attach("step_cache")
    assert family.pipe.unet is unet, "outside calls, the network is the whole one"
    assert torch.equal(family(cache_interval=1), plain)
    assert torch.equal(family(adapters={}), plain)
    assert torch.equal(family(cache_full_steps=range(100)), plain), "every step is full"
    family.pipe.detach("step_cache")
    assert torch.equal(family(), plain)


def test_a_deeper_cache_is_closer(family: Drawing) -> None:
    plain = family()
    family.pipe.attach("step_cache", interval=2)
    most = skip_count(family.pipe.unet) - 1
    shallow, deep = (family(cache_depth=depth) for depth in (1, most))
    assert not torch.equal(deep, shallow)
    if "Stable" in type(family.pipe).__name__:  # Others have random weights.
        assert (deep - plain).abs().mean() < (shallow - plain).abs().mean()
    with pytest.raises(ArgumentError, match=f"give 1 to {most}"):
        family(cache_depth=most + 1)


def test_full_steps_are_those_that_are_named(demo: Drawing, runs: Runs) -> None:
    demo.pipe.attach("step_cache", interval=2)
    middle = runs(MidBlock)
    for options, full in (
        ({}, 3),
        ({"cache_interval": 4}, 2),
        ({"cache_full_steps": [0, 1, 5]}, 3),
        ({"cache_full_steps": []}, 1),
        ({"cache_full_steps": [4, 99]}, 2),
    ):
        middle.clear()
        demo(**options)
        assert len(middle) == full, options


def test_a_full_step_is_the_network_itself(demo: Drawing) -> None:
    """Of a schedule of two steps, the first is bitwise the same as without a cache."""
    seen: list[Any] = []

    def see(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(tensors["latents"].clone())
        return {}

    demo(num_inference_steps=2, callback_on_step_end=see)
    demo.pipe.attach("step_cache", interval=2)
    demo(num_inference_steps=2, callback_on_step_end=see)
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[1], seen[3])


def test_threads_are_bitwise_serial(demo: Drawing) -> None:
    demo.pipe.attach("step_cache")
    calls = [{"seed": number, "cache_interval": 1 + number % 4} for number in range(8)]
    serial = [demo(**one) for one in calls]
    with ThreadPoolExecutor(8) as threads:
        drawn = threads.map(lambda one: demo(**one), calls)
        assert all(map(torch.equal, drawn, serial))


def test_a_cancelled_call_leaves_nothing(demo: Drawing) -> None:
    cache = demo.pipe.attach("step_cache", interval=4)
    before, state = demo(), dict(vars(cache))
    token = Event()

    def stop(pipe: Any, step: int, timestep: Any, tensors: Any) -> dict[str, Any]:
        token.set()
        return {}

    with pytest.raises(CancelledError):
        demo(callback_on_step_end=stop, cancellation=token)
    assert vars(cache) == state
    assert torch.equal(demo(), before)


def test_a_controlnet_rests_in_shallow_steps(controlled: Drawing, runs: Runs) -> None:
    plain = controlled()
    controlled.pipe.attach("step_cache", interval=3)
    nets = runs(ControlNetModel)
    cached = controlled()
    assert len(nets) == 2
    assert (cached - plain).abs().mean() < 0.05
    nets.clear()
    # A ControlNet that begins in a shallow step runs there; it does not run after its end.
    controlled(control_guidance_start=0.3, control_guidance_end=0.6)
    assert len(nets) == 1
    assert torch.equal(controlled(cache_interval=1), plain)


def test_a_callback_that_turns_guidance_off_gets_a_full_step(demo: Drawing, runs: Runs) -> None:
    def off(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step != 2:
            return {}
        pipe._guidance_scale = 1.0
        return {"prompt_embeds": tensors["prompt_embeds"].chunk(2)[1]}

    demo.pipe.attach("step_cache", interval=5)
    middle = runs(MidBlock)
    demo(callback_on_step_end=off, callback_on_step_end_tensor_inputs=["prompt_embeds"])
    assert middle == [2, 1, 1]  # Steps 0, 3 (another batch) and 5.


class Louder(Attachment):
    """Changes a layer that shallow steps run, and one that they don't."""

    name = "louder"

    def answers(self, component: str, network: nn.Module, strength: float) -> Any:
        def louder(layer: Any, *inputs: Any) -> Any:
            return layer(*inputs) * (1 + 0.2 * strength)

        if component != "unet":
            return {}
        return {"up_blocks.1.resnets.1.conv1": louder, "mid_block.resnets.0.conv1": louder}


def test_other_add_ons_act_in_full_and_in_shallow_steps(demo: Drawing) -> None:
    demo.pipe.attach("step_cache", interval=2)
    cached = demo()
    demo.pipe.attach(Louder())
    both = demo()
    assert not torch.equal(both, cached)
    assert not torch.equal(both, demo(cache_interval=1))
    assert torch.equal(demo(adapters={"step_cache": 1.0}), cached)
    # The order of attaching makes no difference.
    demo.pipe.detach("step_cache")
    demo.pipe.attach("step_cache", interval=2)
    assert torch.equal(demo(), both)


@pytest.mark.parametrize("how", ["model", "sequential", "map"])
def test_it_acts_under_every_placement(demo: Drawing, how: str) -> None:
    demo.pipe.attach("step_cache")
    cached = demo()
    place = {
        "model": lambda: demo.pipe.enable_model_cpu_offload(device="cpu"),
        "sequential": lambda: demo.pipe.enable_sequential_cpu_offload(device="cpu"),
        "map": lambda: demo.pipe.set_device_map({"": "cpu"}),
    }
    place[how]()
    try:
        assert torch.equal(demo(), cached)
    finally:
        demo.pipe.remove_all_hooks()


def test_the_engine_compile_runs_what_is_left(demo: Drawing) -> None:
    demo.pipe.attach("step_cache")
    cached = [demo(cache_depth=depth) for depth in (1, 2)]
    demo.pipe.use_engine({"unet": "compile"}, backend="eager")
    assert torch.equal(demo(), cached[0])
    assert torch.equal(demo(cache_depth=2), cached[1])
    demo.pipe.use_engine(None)


class Whole(NetworkEngine):
    """Runs whole networks only."""

    name = "whole"

    def prepare(self, network: nn.Module, method: str) -> Any:
        return lambda *args, **options: pytest.fail("this network has a step cache")


def test_an_engine_for_whole_networks_says_that_it_steps_aside(
    demo: Drawing, caplog: pytest.LogCaptureFixture
) -> None:
    demo.pipe.attach("step_cache")
    cached = demo()
    demo.pipe.use_engine({"unet": Whole()})
    assert torch.equal(demo(), cached)
    assert "whole doesn't run unet now: attachments change it" in caplog.text
    demo.pipe.use_engine(None)


def test_copies_pickles_and_other_tasks_take_it_along(demo: Drawing) -> None:
    demo.pipe.attach("step_cache", interval=2, depth=2)
    cached = demo()
    for made in (copy.deepcopy(demo.pipe), pickle.loads(pickle.dumps(demo.pipe))):
        assert torch.equal(Drawing(made, demo.call)(), cached)
    change = Drawing(AutoPipelineForImage2Image.from_pipe(demo.pipe), demo.call)
    picture = {"image": cached, "strength": 0.9}
    assert not torch.equal(change(**picture), change(**picture, cache_interval=1))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"cache_interval": 0}, ArgumentError),
        ({"cache_interval": 1.5}, ArgumentTypeError),
        ({"cache_depth": 0}, ArgumentError),
        ({"cache_depth": "deep"}, ArgumentTypeError),
        ({"cache_depth": True}, ArgumentTypeError),
        ({"cache_full_steps": [-1]}, ArgumentError),
        ({"cache_full_steps": 3}, ArgumentTypeError),
        ({"cache_full_steps": "0 3"}, ArgumentTypeError),
        ({"cache_full_steps": [0], "cache_interval": 2}, ArgumentError),
    ],
)
def test_what_can_not_be_used_is_refused(
    demo: Drawing, options: dict[str, Any], error: type[Exception]
) -> None:
    demo.pipe.attach("step_cache")
    with pytest.raises(error, match=next(iter(options))):
        demo(**options)
    names = {name.removeprefix("cache_"): value for name, value in options.items()}
    if len(names) == 1:
        with pytest.raises(error):
            StepCache(**names)


class Stranger(nn.Module):
    """A network of another kind."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config


def test_another_network_is_refused_with_a_reason(demo: Drawing) -> None:
    pipe = type(demo.pipe)(**{**demo.pipe.components, "unet": Stranger(demo.pipe.unet.config)})
    with pytest.raises(ArgumentError, match="unet is a Stranger"):
        pipe.attach("step_cache")
    assert dict(pipe.attachments) == {}
    with pytest.raises(ArgumentError, match="depth of the step cache is 40"):
        demo.pipe.attach("step_cache", depth=40)


def test_what_fast_loses_is_what_it_says(demo: Drawing) -> None:
    (said,) = [one.fast for one in autopipe_family().addons if one.name == StepCache.name]
    loss, steps = (float(re.findall(rf"([0-9]+) {unit}", said)[0]) for unit in ("dB", "steps"))
    plain = demo(num_inference_steps=int(steps))
    demo.pipe.attach("step_cache")
    change = demo(num_inference_steps=int(steps)) - plain
    psnr = -10 * float(torch.log10((change**2).mean()))
    # Prompts and seeds differ by 2 dB.
    assert psnr > loss - 2


def test_nothing_is_kept_where_steps_predict_more_than_once(demo: Drawing) -> None:
    class Twice(Attachment):
        """Predicts again in each step."""

        name = "twice"

        def predict(self, run: Any, tensors: Any, predict: Any, strength: Any) -> Any:
            def both(step: int, timestep: Any) -> Any:
                return (predict(step, timestep) + predict(step, timestep)) / 2

            return both

    plain = demo()
    demo.pipe.attach("step_cache", interval=3)
    assert not torch.equal(demo(), plain)
    demo.pipe.attach(Twice())
    assert torch.equal(demo(), plain)
