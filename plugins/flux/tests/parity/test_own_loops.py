"""Programs with their own loop call the same methods as in diffusers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe import FluxPipeline
from autopipe.errors import ArgumentError

pytestmark = pytest.mark.parity


@pytest.fixture
def both(build: Callable[..., Any], reference: Callable[[Any], Any], kind: type) -> Any:
    ours = build(kind)
    return ours, reference(ours)


def test_methods_give_the_same(both: Any) -> None:
    cells = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    packed, unpacked, positions = [], [], []
    for pipe in both:
        packed.append(pipe._pack_latents(cells, 2, 4, 6, 8))
        unpacked.append(pipe._unpack_latents(packed[-1], 13, 16, 2))
        positions.append(pipe._prepare_latent_image_ids(2, 3, 4, "cpu", torch.float32))
    for one, other in (packed, unpacked, positions):
        assert torch.equal(one, other)
    assert torch.equal(unpacked[0], cells)


def test_check_inputs_has_the_same_parameters(both: Any) -> None:
    one, other = ([*inspect.signature(type(pipe).check_inputs).parameters] for pipe in both)
    assert one == other


def test_check_inputs_refuses_the_same(both: Any) -> None:
    given: dict[str, Any] = {"prompt": "a cat", "prompt_2": None, "height": 16, "width": 16}
    given |= {"strength": 0.5, "image": None, "mask_image": None, "output_type": "pil"}
    for pipe in both:
        names = inspect.signature(type(pipe).check_inputs).parameters
        taken = {name: one for name, one in given.items() if name in names}
        pipe.check_inputs(**taken)
        for wrong in ({"prompt": None}, {"prompt_embeds": torch.zeros(1, 2, 24)}, {"prompt": 3}):
            with pytest.raises(ValueError, match=r"."):
                pipe.check_inputs(**{**taken, **wrong})


def test_a_loop_of_ones_own(build: Callable[..., Any]) -> None:
    pipe = build(FluxPipeline)
    call = {"height": 16, "width": 16, "max_sequence_length": 8, "num_inference_steps": 2}
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = pipe("a cat", latents=noise, output_type="latent", **call).images
    embeds, pooled, told = pipe.encode_prompt("a cat", max_sequence_length=8)
    latents = pipe._pack_latents(noise, 1, 4, 8, 8)
    seen = pipe._prepare_latent_image_ids(1, 4, 4, "cpu", torch.float32)
    from autopipe_components.steps.flow import set_flow_schedule

    set_flow_schedule(pipe.scheduler, tokens=16, num_inference_steps=2)
    with torch.no_grad():
        for time in pipe.scheduler.timesteps:
            velocity = pipe.transformer(
                latents,
                embeds,
                pooled,
                time / 1000,
                seen,
                told,
                torch.tensor([3.5]),
                return_dict=False,
            )[0]
            latents = pipe.scheduler.step(velocity, time, latents, return_dict=False)[0]
    assert torch.equal(latents, expected)
    with pytest.raises(ArgumentError, match="strength"):
        pipe.get_timesteps(2, 0.0)
