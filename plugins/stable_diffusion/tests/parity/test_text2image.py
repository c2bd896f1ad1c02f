"""Text to image against diffusers, seed for seed, with every parameter of the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.parity import TOLERANCE

from autopipe import StableDiffusionPipeline as Pipe

pytestmark = pytest.mark.parity


def embeds(seed: int, batch: int = 1, tokens: int = 12) -> torch.Tensor:
    return torch.randn(batch, tokens, 16, generator=torch.Generator().manual_seed(seed))


def test_every_scheduler(compare: Callable[..., Any], any_scheduler: Any) -> None:
    compare(Pipe, num_inference_steps=5, components={"scheduler": any_scheduler})


@pytest.mark.parametrize("name", ["PNDMScheduler", "DDIMScheduler", "EulerDiscreteScheduler"])
def test_v_prediction(
    compare: Callable[..., Any], scheduler: Callable[..., Any], name: str
) -> None:
    given = scheduler(name, prediction_type="v_prediction")
    compare(Pipe, num_inference_steps=4, components={"scheduler": given})


@pytest.mark.parametrize(
    "call",
    [
        {"prompt": ["a cat", "a red dog"]},
        {"prompt": ["a cat", "a red dog"], "num_images_per_prompt": 2},
        {"num_images_per_prompt": 3},
        {"negative_prompt": "a red dog"},
        {"prompt": ["a cat", "a red dog"], "negative_prompt": ["dog", ""]},
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
    ],
    ids=lambda call: ",".join(call),
)
def test_parameters(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Pipe, **call)


def test_parameters_change_the_image(compare: Callable[..., Any]) -> None:
    """Ignoring one of these would be seen: it changes more than the comparisons above allow."""
    plain = compare(Pipe)
    for call in (
        {"prompt": "a red dog"},
        {"negative_prompt": "a red dog"},
        {"guidance_scale": 1.0},
        {"guidance_rescale": 0.7},
        {"seed": 1},
        {"num_inference_steps": 4},
    ):
        assert np.abs(compare(Pipe, **call) - plain).max() > 10 * TOLERANCE, call


def test_pil_images_are_rounded_alike(compare: Callable[..., Any]) -> None:
    # A difference below the tolerance can still fall on either side of a half.
    compare(Pipe, output_type="pil", tolerance=1 / 255 + 1e-6)


def test_latents(compare: Callable[..., Any], scheduler: Callable[..., Any]) -> None:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    compare(Pipe, latents=latents, num_images_per_prompt=2)
    compare(
        Pipe,
        latents=latents,
        num_images_per_prompt=2,
        components={"scheduler": scheduler("EulerDiscreteScheduler")},
    )


def test_embeddings(compare: Callable[..., Any]) -> None:
    compare(Pipe, None, prompt_embeds=embeds(1, 2), negative_prompt_embeds=embeds(2, 2))
    compare(Pipe, None, prompt_embeds=embeds(1), num_images_per_prompt=2)
    compare(Pipe, None, prompt_embeds=embeds(1), negative_prompt="a red dog")
    compare(Pipe, None, prompt_embeds=embeds(1, 2), negative_prompt=["a red dog", "cat"])
    compare(Pipe, "a cat", negative_prompt_embeds=embeds(2))
    compare(Pipe, None, prompt_embeds=embeds(1, tokens=7), negative_prompt="dog")
    compare(
        Pipe,
        None,
        prompt_embeds=embeds(1, tokens=30),
        negative_prompt_embeds=embeds(2, tokens=30),
    )


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("seed", [0, [1, 2]])
def test_eta_of_ddim(
    compare: Callable[..., Any], scheduler: Callable[..., Any], eta: float, seed: Any
) -> None:
    ddim = scheduler("DDIMScheduler")
    compare(Pipe, ["a", "b"], eta=eta, seed=seed, components={"scheduler": ddim})


@pytest.mark.parametrize("name", ["EulerAncestralDiscreteScheduler", "DDPMScheduler"])
def test_each_generator_draws_in_each_step(
    compare: Callable[..., Any], scheduler: Callable[..., Any], name: str
) -> None:
    compare(Pipe, ["a", "b"], seed=[7, 8], components={"scheduler": scheduler(name)})


def test_own_timesteps_and_sigmas(
    compare: Callable[..., Any], scheduler: Callable[..., Any]
) -> None:
    for name in ("DPMSolverMultistepScheduler", "EulerDiscreteScheduler", "DDPMScheduler"):
        given = {"scheduler": scheduler(name)}
        compare(Pipe, timesteps=[900, 601, 300, 50], components=given)
    for name in ("HeunDiscreteScheduler", "LCMScheduler"):
        given = {"scheduler": scheduler(name)}
        compare(Pipe, timesteps=[899, 599, 299], components=given)
    euler = {"scheduler": scheduler("EulerDiscreteScheduler")}
    compare(Pipe, sigmas=[14.6, 6.0, 2.0, 0.5, 0.0], components=euler)


@pytest.mark.parametrize("in_step", [0, 1])
def test_callbacks_change_tensors(compare: Callable[..., Any], in_step: int) -> None:
    shapes: list[Any] = []

    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        shapes.append((step, int(timestep), {k: tuple(v.shape) for k, v in tensors.items()}))
        if step != in_step:
            return {}
        return {
            "latents": tensors["latents"] * 0.5,
            "prompt_embeds": tensors["prompt_embeds"].flip(0) * 0.9,
        }

    compare(
        Pipe,
        callback_on_step_end=change,
        callback_on_step_end_tensor_inputs=["latents", "prompt_embeds", "negative_prompt_embeds"],
    )
    half = len(shapes) // 2
    assert shapes[:half] == shapes[half:]
    assert shapes[0][2]["prompt_embeds"] == (2, 12, 16)


def test_a_callback_turns_guidance_off(compare: Callable[..., Any]) -> None:
    def cut(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == 0:
            pipe._guidance_scale = 0.0
            tensors["prompt_embeds"] = tensors["prompt_embeds"][-1:]
        return tensors

    compare(Pipe, callback_on_step_end=cut, callback_on_step_end_tensor_inputs=["prompt_embeds"])


def test_a_callback_object_of_the_reference(compare: Callable[..., Any]) -> None:
    from diffusers.callbacks import SDCFGCutoffCallback

    cut = SDCFGCutoffCallback(cutoff_step_ratio=0.4)
    compare(Pipe, num_inference_steps=5, callback_on_step_end=cut)


def test_interrupt(compare: Callable[..., Any]) -> None:
    steps: list[int] = []

    def stop(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        steps.append(step)
        pipe._interrupt = step == 1
        return tensors

    compare(Pipe, num_inference_steps=5, callback_on_step_end=stop)
    assert steps == [0, 1, 0, 1]


@pytest.mark.parametrize("name", ["PNDMScheduler", "HeunDiscreteScheduler", "DDIMScheduler"])
@pytest.mark.parametrize("interval", [1, 2])
def test_the_older_callback(
    compare: Callable[..., Any], scheduler: Callable[..., Any], name: str, interval: int
) -> None:
    calls: list[Any] = []

    def note(step: int, timestep: Any, latents: torch.Tensor) -> None:
        calls.append((step, float(timestep), tuple(latents.shape)))

    compare(
        Pipe,
        num_inference_steps=5,
        callback=note,
        callback_steps=interval,
        components={"scheduler": scheduler(name)},
    )
    half = len(calls) // 2
    assert half
    assert calls[:half] == calls[half:]


def test_a_unet_distilled_on_the_guidance_scale(
    compare: Callable[..., Any], scheduler: Callable[..., Any], unets: Callable[..., Any]
) -> None:
    given = {"unet": unets(time_cond_proj_dim=8), "scheduler": scheduler("LCMScheduler")}
    weak = compare(Pipe, guidance_scale=2.0, components=given)
    strong = compare(Pipe, guidance_scale=9.0, components=given)
    assert np.abs(weak - strong).max() > 1e-3
    compare(Pipe, guidance_scale=9.0, num_images_per_prompt=2, components=given)


def test_a_unet_that_is_not_square(compare: Callable[..., Any], unets: Callable[..., Any]) -> None:
    wide = unets(sample_size=(8, 12))
    assert compare(Pipe, components={"unet": wide}).shape == (1, 16, 24, 3)


def test_slicing_and_tiling(build: Callable[..., Any], reference: Any, record: Any) -> None:
    ours = build(Pipe)
    theirs = reference(ours)
    call = {"num_inference_steps": 2, "output_type": "np", "num_images_per_prompt": 2}
    ours.enable_vae_slicing()
    ours.enable_vae_tiling()
    theirs.vae.enable_slicing()
    theirs.vae.enable_tiling()
    for pipe in (ours, theirs):
        pipe.enable_attention_slicing()
    try:
        images = [
            pipe("a", height=48, width=64, generator=torch.Generator().manual_seed(0), **call)
            for pipe in (ours, theirs)
        ]
        assert record("slicing and tiling", images[0].images, images[1].images) < 1e-4
    finally:
        ours.disable_vae_slicing()
        ours.disable_vae_tiling()
        theirs.vae.disable_slicing()
        theirs.vae.disable_tiling()
        for pipe in (ours, theirs):
            pipe.disable_attention_slicing()
