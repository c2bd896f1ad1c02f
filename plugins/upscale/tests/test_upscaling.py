"""What is particular about upscalers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.pictures import picture, tensor
from support.tiny import BETAS, VAE, seeded

from autopipe import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    LDMSuperResolutionPipeline,
    StableDiffusionLatentUpscalePipeline,
    StableDiffusionPipeline,
    StableDiffusionUpscalePipeline,
    UNet2DConditionModel,
)
from autopipe.cascade import cascade
from autopipe.errors import ArgumentError, SchedulerError

Build = Callable[..., Any]


def test_without_a_prompt_it_enlarges_without_a_text(
    build: Build, kind: Any, call: dict[str, Any], seed: Any
) -> None:
    pipe = build(kind)
    both = {**call, "image": [picture(), picture(seed=4)]}
    batches = {**call, "image": [torch.cat([tensor(picture()), tensor(picture(seed=4))])]}
    for given, prompt in ((call, ""), (both, ["", ""]), (batches, ["", ""])):
        silent = pipe(**{**given, "prompt": None}, generator=seed()).images
        empty = pipe(**{**given, "prompt": prompt}, generator=seed()).images
        assert torch.equal(silent, empty)


def test_the_scaling_factor_of_the_config_is_not_used(
    build: Build, call: dict[str, Any], seed: Any
) -> None:
    pipe = build(StableDiffusionUpscalePipeline)
    found = pipe(**call, generator=seed()).images
    other = AutoencoderKL.from_config(pipe.vae.config, scaling_factor=2.0).eval()
    other.load_state_dict(pipe.vae.state_dict())
    changed = build(StableDiffusionUpscalePipeline, vae=other)
    assert torch.equal(changed(**call, generator=seed()).images, found)
    assert other.config.scaling_factor == 2.0, "another pipeline may share it"


@pytest.mark.parametrize("level", [-1, 351, 400])
def test_noise_levels_that_were_not_trained_are_refused(
    build: Build, call: dict[str, Any], level: int
) -> None:
    with pytest.raises(ArgumentError, match="give 0 to 350"):
        build(StableDiffusionUpscalePipeline)(**call, noise_level=level)


def test_what_the_latent_upscaler_can_not_do_is_refused_before_work(
    build: Build, call: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = build(StableDiffusionLatentUpscalePipeline)

    def used(*args: Any, **keywords: Any) -> None:
        pytest.fail("a network was used before the error")

    for network in (UNet2DConditionModel, AutoencoderKL):
        monkeypatch.setattr(network, "forward", used)
    with pytest.raises(ArgumentError, match="needs multiples of 4, at least 8"):
        pipe(**{**call, "image": picture(20, 18 * 4 + 8).resize((26, 20))})
    with pytest.raises(ArgumentError, match="need pooled_prompt_embeds"):
        pipe(**{**call, "prompt": None, "prompt_embeds": torch.zeros(1, 12, 16)})
    # The second has noise levels, too, but of samples that it doesn't scale.
    for scheduler in (DDIMScheduler(**BETAS), DPMSolverMultistepScheduler(**BETAS)):
        pipe.scheduler = scheduler
        with pytest.raises(SchedulerError, match="doesn't scale samples"):
            pipe(**call)


def test_an_autoencoder_that_keeps_the_size(build: Build, call: dict[str, Any], seed: Any) -> None:
    blocks = {name: VAE[name][:1] for name in VAE if name.startswith(("block", "down", "up"))}
    vae = seeded(lambda: AutoencoderKL(**{**VAE, **blocks}))
    pipe = build(StableDiffusionLatentUpscalePipeline, vae=vae)
    assert pipe(**call, generator=seed()).images.shape == (1, 3, 32, 32)


def test_it_shares_what_it_has_in_common_with_stable_diffusion(
    build: Build, call: dict[str, Any], seed: Any
) -> None:
    latents = build(StableDiffusionLatentUpscalePipeline)
    draw = StableDiffusionPipeline(
        **{**latents.components, "safety_checker": None, "feature_extractor": None},
        requires_safety_checker=False,
    )
    again = StableDiffusionLatentUpscalePipeline.from_pipe(draw, scheduler=latents.scheduler)
    assert again.vae is draw.vae
    assert again.text_encoder is draw.text_encoder
    expected = latents(**call, generator=seed()).images
    assert torch.equal(again(**call, generator=seed()).images, expected)


def test_stages_enlarge_in_a_row_with_and_without_prompts(build: Build, seed: Any) -> None:
    first, second = build(StableDiffusionUpscalePipeline), build(LDMSuperResolutionPipeline)
    steps = {"num_inference_steps": 2}
    whole = cascade(
        [first, second],
        "a cat",
        image=picture(),
        generator=seed(),
        output_type="pt",
        options=[steps, steps],
    ).images
    generator = seed()
    between = first("a cat", picture(), generator=generator, output_type="pt", **steps).images
    assert between.shape[-2:] == (32, 32)
    after = second(between, generator=generator, output_type="pt", **steps).images
    assert after.shape[-2:] == (64, 64)
    assert torch.equal(whole, after)


def test_pixels_from_0_to_1_are_those_of_a_picture(build: Build, seed: Any) -> None:
    pipe, image = build(LDMSuperResolutionPipeline), picture(32, 32)
    call: dict[str, Any] = {"num_inference_steps": 2, "output_type": "pt"}
    expected = pipe(image, generator=seed(), **call).images
    for given in (tensor(image), 2 * tensor(image) - 1):
        found = pipe(given, generator=seed(), **call).images
        assert torch.allclose(found, expected, atol=1e-5)


def test_noise_of_steps_comes_from_the_generator(build: Build, seed: Any) -> None:
    pipe, found = build(LDMSuperResolutionPipeline), []
    for state in (1, 2):
        torch.manual_seed(state)
        call = {"eta": 1.0, "num_inference_steps": 3, "output_type": "pt"}
        found.append(pipe(picture(32, 32), generator=seed(), **call).images)
    assert torch.equal(*found)
    plain = pipe(picture(32, 32), generator=seed(), **{**call, "eta": 0.0}).images
    assert not torch.equal(plain, found[0])


def test_the_memory_of_the_autoencoder_by_its_own_name(build: Build) -> None:
    pipe = build(LDMSuperResolutionPipeline)
    pipe.vqvae = None
    with pytest.raises(ArgumentError, match="vqvae"):
        pipe.enable_vae_slicing()
