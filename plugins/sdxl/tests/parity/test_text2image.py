"""Text to image against diffusers, seed for seed, with every parameter of the call."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from autopipe import StableDiffusionXLPipeline as Pipe

pytestmark = pytest.mark.parity


def embeds(count: int = 1, tokens: int = 12, sign: str = "", seed: int = 1) -> dict[str, Any]:
    source = torch.Generator().manual_seed(seed)
    return {
        f"{sign}prompt_embeds": torch.randn(count, tokens, 32, generator=source),
        f"{sign.replace('negative_', 'negative_pooled_') or 'pooled_'}prompt_embeds": torch.randn(
            count, 10, generator=source
        ),
    }


def test_every_scheduler(compare: Callable[..., Any], any_scheduler: Any) -> None:
    compare(Pipe, num_inference_steps=5, components={"scheduler": any_scheduler})


@pytest.mark.parametrize(
    "call",
    [
        {"prompt_2": "a red dog"},
        {"prompt": ["a cat", "a red dog"]},
        {"prompt": ["a cat", "a red dog"], "prompt_2": ["dog", "cat"], "num_images_per_prompt": 2},
        {"num_images_per_prompt": 3},
        {"negative_prompt": "a red dog"},
        {"negative_prompt": "a red dog", "negative_prompt_2": "cat"},
        {"negative_prompt": ""},
        {"negative_prompt_2": "not used without the other"},
        {"prompt": ["a cat", "a red dog"], "negative_prompt": ["dog", ""]},
        {"prompt": ["a cat", "a red dog"], "negative_prompt": "dog"},
        {"negative_prompt": "ignored", "guidance_scale": 1.0},
        {"guidance_scale": 0.0},
        {"guidance_scale": 20},
        {"guidance_rescale": 0.7},
        {"prompt": "a prompt that is much longer than the few tokens that are read of it"},
        {"prompt": ""},
        {"height": 24, "width": 16},
        {"height": 8, "width": 32},
        {"height": 24},
        {"seed": None},
        {"seed": [4]},
        {"seed": [1, 2], "num_images_per_prompt": 2},
        {"seed": [3, 1, 2], "prompt": ["a", "b", "c"]},
        {"output_type": "pt"},
        {"output_type": "latent"},
        {"num_inference_steps": 1},
        {"cross_attention_kwargs": {}},
        {"clip_skip": 0},
        {"clip_skip": 1, "negative_prompt": "dog"},
        {"clip_skip": 2},
        {"original_size": (64, 32)},
        {"target_size": (64, 32), "crops_coords_top_left": (4, 9)},
        {"negative_original_size": (8, 9)},
        {
            "negative_original_size": (8, 9),
            "negative_target_size": (30, 20),
            "negative_crops_coords_top_left": (3, 4),
        },
        {"denoising_end": 0.5},
        {"denoising_end": 1.0},
        {"denoising_end": 0.0},
        {"denoising_end": 0.01, "num_inference_steps": 2},
    ],
    ids=lambda call: ",".join(call),
)
def test_parameters(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Pipe, **call)


def test_parameters_change_the_image(compare: Callable[..., Any]) -> None:
    """What the comparisons above compare is not all the same picture."""
    plain = compare(Pipe)
    for call in (
        {"prompt": "a red dog"},
        {"prompt_2": "a red dog"},
        {"negative_prompt": "a red dog"},
        {"negative_prompt": ""},
        {"guidance_scale": 1.0},
        {"guidance_rescale": 0.7},
        {"clip_skip": 1},
        {"original_size": (64, 32)},
        {"crops_coords_top_left": (4, 9)},
        {"target_size": (64, 32)},
        {"negative_original_size": (8, 9), "negative_target_size": (30, 20)},
        {"denoising_end": 0.5},
        {"seed": 1},
    ):
        assert np.abs(compare(Pipe, **call) - plain).max() > 1e-3, call


def test_zeros_are_for_checkpoints_that_say_so(compare: Callable[..., Any]) -> None:
    told = {"force_zeros_for_empty_prompt": False}
    plain = compare(Pipe, components=told)
    assert np.abs(plain - compare(Pipe)).max() > 1e-3
    assert np.array_equal(plain, compare(Pipe, components=told, negative_prompt=""))
    compare(Pipe, components=told, negative_prompt_2="dog")


def test_embeddings(compare: Callable[..., Any]) -> None:
    compare(Pipe, None, **embeds(2), **embeds(2, sign="negative_", seed=2))
    compare(Pipe, None, **embeds(), num_images_per_prompt=2)
    compare(Pipe, None, **embeds(), negative_prompt="a red dog")
    compare(Pipe, None, **embeds(2), negative_prompt=["a red dog", "cat"])
    compare(Pipe, "a cat", **embeds(sign="negative_"))
    compare(Pipe, None, **embeds(tokens=7), negative_prompt="dog")
    pooled = embeds()["pooled_prompt_embeds"]
    compare(Pipe, "a cat", pooled_prompt_embeds=pooled)
    compare(Pipe, "a cat", negative_prompt="dog", negative_pooled_prompt_embeds=pooled)


def test_latents(compare: Callable[..., Any]) -> None:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    compare(Pipe, latents=latents, num_images_per_prompt=2)


def test_own_schedules(compare: Callable[..., Any], scheduler: Callable[..., Any]) -> None:
    compare(Pipe, timesteps=[900, 600, 300, 50])
    compare(Pipe, sigmas=[12.0, 5.0, 1.0, 0.2], denoising_end=0.6)
    heun = {"scheduler": scheduler("HeunDiscreteScheduler")}
    compare(Pipe, num_inference_steps=5, denoising_end=0.6, components=heun)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_eta_of_ddim(
    compare: Callable[..., Any], scheduler: Callable[..., Any], eta: float
) -> None:
    compare(Pipe, eta=eta, components={"scheduler": scheduler("DDIMScheduler")})


def test_a_network_distilled_on_the_guidance_scale(
    compare: Callable[..., Any], unets: Callable[..., Any], scheduler: Callable[..., Any]
) -> None:
    components = {
        "unet": unets(time_cond_proj_dim=6),
        "scheduler": scheduler("LCMScheduler"),
    }
    one = compare(Pipe, guidance_scale=8.0, components=components)
    assert np.abs(one - compare(Pipe, guidance_scale=1.5, components=components)).max() > 1e-3


def test_latents_with_statistics(compare: Callable[..., Any], vae: Any) -> None:
    told = copy.deepcopy(vae)
    told.register_to_config(latents_mean=(0.1, -0.2, 0.3, 0.4), latents_std=(0.5, 2.0, 1.5, 0.7))
    plain = compare(Pipe)
    assert np.abs(compare(Pipe, components={"vae": told}) - plain).max() > 1e-3


def test_callbacks_change_tensors(compare: Callable[..., Any]) -> None:
    seen: list[Any] = []

    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append((step, int(timestep), pipe.num_timesteps, pipe.guidance_scale))
        return {name: value * 0.9 for name, value in tensors.items()}

    names = ["latents", "prompt_embeds", "add_text_embeds", "add_time_ids"]
    compare(Pipe, callback_on_step_end=change, callback_on_step_end_tensor_inputs=names)
    assert seen[:3] == seen[3:]


def test_interrupt(compare: Callable[..., Any]) -> None:
    def stop(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = step == 1
        return {}

    compare(Pipe, num_inference_steps=4, callback_on_step_end=stop)


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "HeunDiscreteScheduler"])
@pytest.mark.parametrize("end", [None, 0.5])
def test_older_callbacks(
    compare: Callable[..., Any], scheduler: Callable[..., Any], name: str, end: float | None
) -> None:
    seen: list[Any] = []

    def look(step: int, timestep: Any, latents: Any) -> None:
        seen.append((step, float(timestep)))

    given = {"scheduler": scheduler(name)}
    call = {"num_inference_steps": 5, "denoising_end": end}
    compare(Pipe, callback=look, callback_steps=1, components=given, **call)
    half = len(seen) // 2
    assert half > 1
    assert seen[:half] == seen[half:]


def test_encode_prompt(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    theirs = reference(ours)
    for call in (
        {"prompt": "a cat"},
        {"prompt": ["a", "b"], "num_images_per_prompt": 2, "negative_prompt": ["c", "d"]},
        {"prompt": "a cat", "do_classifier_free_guidance": False},
    ):
        with torch.no_grad():
            found, expected = ours.encode_prompt(**call), theirs.encode_prompt(**call)
        for one, other in zip(found, expected):
            assert (one is None) == (other is None)
            if one is not None:
                # Float32, summed in another order where equal texts are encoded once.
                torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
