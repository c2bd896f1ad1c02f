"""Real pipelines and their parts can be copied and sent to other processes."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import autopipe
from autopipe.registry import default_registry
from autopipe.tasks import Task

DEMOS = [
    f"demo:{name}" for name, family in default_registry().families.items() if family.demo_opens
]
CALL: dict[str, Any] = {"num_inference_steps": 2, "output_type": "np"}


def pickled(one: Any) -> Any:
    return pickle.loads(pickle.dumps(one))


def draw(pipe: Any) -> np.ndarray:
    """Return a picture; other processes call this function too."""
    pipe.set_progress_bar_config(disable=True)
    images: np.ndarray = pipe("a", generator=torch.Generator().manual_seed(0), **CALL).images
    return images


def serves_text(pipe: Any) -> bool:
    known = default_registry().pipeline_of(type(pipe))
    return known is not None and known.task == Task.TEXT2IMAGE


@pytest.mark.parametrize("make", [copy.deepcopy, pickled])
@pytest.mark.parametrize("demo", DEMOS)
def test_a_copy_is_whole_and_has_weights_of_its_own(demo: str, make: Any) -> None:
    pipe = autopipe.DiffusionPipeline.from_pretrained(demo)
    made = make(pipe)
    assert made.index() == pipe.index()
    assert dict(made.origins) == dict(pipe.origins)
    for name, component in pipe.components.items():
        other = made.components[name]
        assert type(other) is type(component)
        if isinstance(component, nn.Module):
            state = other.state_dict()
            for key, tensor in component.state_dict().items():
                assert torch.equal(state[key], tensor)
                assert state[key].data_ptr() != tensor.data_ptr()
            assert not other.training
        elif hasattr(component, "config"):
            assert other.config == component.config
    if serves_text(pipe):
        # The weights are aligned differently in memory, so kernels may sum in another order.
        assert np.abs(draw(made) - draw(pipe)).max() < 1e-5


def test_what_a_switch_of_tasks_gives_can_be_copied() -> None:
    pipe = autopipe.AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    change = autopipe.AutoPipelineForImage2Image.from_pipe(pipe)
    one, other = pickled([pipe, change])
    assert type(other) is type(change)
    assert one.unet is other.unet
    assert np.abs(draw(one) - draw(pipe)).max() < 1e-5


def test_what_transformers_leaves_on_a_model_in_a_call_is_not_pickled() -> None:
    pipe = autopipe.AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    fresh = len(pickle.dumps(pipe))
    expected = pipe("a", clip_skip=1, generator=torch.Generator().manual_seed(0), **CALL).images
    assert abs(len(pickle.dumps(pipe)) - fresh) < 1000
    for made in (pickled(pipe), copy.deepcopy(pipe)):
        found = made("a", clip_skip=1, generator=torch.Generator().manual_seed(0), **CALL).images
        assert np.abs(found - expected).max() < 1e-5


def test_schedulers_outputs_and_generators() -> None:
    pipe = autopipe.AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    for kind in pipe.scheduler.compatibles:
        scheduler = kind.from_config(pipe.scheduler.config)
        scheduler.set_timesteps(5)
        for make in (copy.copy, copy.deepcopy, pickled):
            made = make(scheduler)
            assert made.config == scheduler.config
            assert torch.equal(made.timesteps, scheduler.timesteps)
    output = pipe("a", **CALL)
    assert np.array_equal(pickled(output).images, output.images)
    generator = pickled(torch.Generator().manual_seed(3))
    expected = torch.rand(2, generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.rand(2, generator=generator), expected)


def test_a_spawned_process_draws_the_same() -> None:
    pipe = autopipe.AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    with multiprocessing.get_context("spawn").Pool(1) as processes:
        found = processes.apply_async(draw, (pipe,)).get(300)
    assert np.abs(found - draw(pipe)).max() < 1e-5


def test_pipelines_of_one_pickle_share_networks_that_transformers_has_hooked() -> None:
    first = autopipe.AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    second = autopipe.AutoPipelineForImage2Image.from_pipe(first)
    first("a", clip_skip=1, height=16, width=16, **CALL)
    one, other = pickled((first, second))
    assert one.text_encoder is other.text_encoder
    first.text_encoder.added = nn.Linear(1, 1)
    assert hasattr(pickled(first).text_encoder, "added")
