"""All tasks against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxPipeline,
    UniPCMultistepScheduler,
)

pytestmark = pytest.mark.parity

SIZE = {"height": 16, "width": 24, "max_sequence_length": 16}


@pytest.fixture
def alike(compare: Callable[..., Any], images: dict[type, dict[str, Any]]) -> Callable[..., Any]:
    def run(kind: type, prompt: Any = "a cat", **call: Any) -> Any:
        return compare(kind, prompt=prompt, **{**SIZE, **images[kind], **call})

    return run


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"prompt": ["a cat", "a red dog"], "prompt_2": ["dog", "cat"], "num_images_per_prompt": 2},
        {"negative_prompt": "a red dog", "true_cfg_scale": 3.0},
        {"negative_prompt": "dog", "negative_prompt_2": "", "true_cfg_scale": 3.0, "seed": [4]},
        {"negative_prompt": "ignored"},
        {"prompt": ["a cat", "a red dog"], "seed": [1, 2]},
        {"seed": None, "num_inference_steps": 1, "strength": 1.0},
        {"output_type": "latent", "sigmas": [0.9, 0.5, 0.1]},
        {"height": 19, "guidance_scale": 1.0, "output_type": "pt"},
        {"strength": 0.35, "num_inference_steps": 7},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(alike: Callable[..., Any], kind: type, call: dict[str, Any]) -> None:
    if kind is FluxPipeline:
        call = {name: one for name, one in call.items() if name != "strength"}
    alike(kind, **call)


def test_parameters_change_the_image(alike: Callable[..., Any], kind: type) -> None:
    """What is compared above is not all the same picture."""
    plain = alike(kind)
    for call in (
        {"prompt": "a red dog"},
        {"prompt_2": "a red dog"},
        {"negative_prompt": "a red dog", "true_cfg_scale": 3.0},
        {"guidance_scale": 30.0},
        {"sigmas": [0.9, 0.5, 0.1]},
    ):
        assert np.abs(alike(kind, **call) - plain).max() > 1e-3, call


@pytest.mark.parametrize(
    "config",
    [
        {"shift": 3.0, "use_dynamic_shifting": False},
        {"shift": 1.0, "use_dynamic_shifting": False},
        {"time_shift_type": "linear"},
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True},
        {"use_beta_sigmas": True},
        {"shift_terminal": 0.1},
    ],
    ids=lambda config: ",".join(config),
)
def test_schedules(
    alike: Callable[..., Any], shifted: Callable[..., Any], kind: type, config: dict[str, Any]
) -> None:
    alike(kind, components={"scheduler": shifted(**config)})


def test_a_network_without_a_guidance_scale(
    alike: Callable[..., Any], transformer: Callable[..., Any], kind: type
) -> None:
    components = {
        "transformer": transformer(guidance_embeds=False),
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=1.0),
    }
    one = alike(kind, components=components, guidance_scale=0.0)
    assert np.array_equal(one, alike(kind, components=components, guidance_scale=5.0))


def embeds(count: int = 1, tokens: int = 16, sign: str = "", seed: int = 1) -> dict[str, Any]:
    source = torch.Generator().manual_seed(seed)
    return {
        f"{sign}prompt_embeds": torch.randn(count, tokens, 24, generator=source),
        f"{sign}pooled_prompt_embeds": torch.randn(count, 16, generator=source),
    }


def test_embeddings(alike: Callable[..., Any]) -> None:
    alike(FluxPipeline, None, **embeds(2, tokens=5))
    negative = embeds(sign="negative_", seed=2)
    alike(FluxPipeline, None, **embeds(), **negative, true_cfg_scale=2.0)
    alike(FluxPipeline, "a cat", **negative, true_cfg_scale=2.0)
    alike(FluxPipeline, None, **embeds(), negative_prompt="a dog", true_cfg_scale=2.0)


def test_latents(alike: Callable[..., Any]) -> None:
    tokens = torch.randn(2, 24, 16, generator=torch.Generator().manual_seed(5))
    for kind in (FluxPipeline, FluxImg2ImgPipeline):
        alike(kind, latents=tokens, num_images_per_prompt=2)
    cells = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(5))
    alike(FluxInpaintPipeline, latents=cells)
    alike(FluxInpaintPipeline, latents=cells, strength=1.0)
    alike(FluxImg2ImgPipeline, image=cells)


def test_batches_of_images(alike: Callable[..., Any], images: dict[type, dict[str, Any]]) -> None:
    pictures = [images[FluxImg2ImgPipeline]["image"], Image.new("RGB", (20, 12), "red")]
    prompts = ["a cat", "a red dog"]
    alike(FluxImg2ImgPipeline, prompts, image=pictures, seed=[1, 2])
    masks = [images[FluxInpaintPipeline]["mask_image"], Image.new("L", (16, 16), 255)]
    alike(FluxInpaintPipeline, prompts, image=pictures, mask_image=masks)
    whole = Image.new("RGB", (48, 32), "red")
    spot = Image.new("L", (48, 32))
    spot.paste(255, (8, 8, 20, 20))
    # One level of eight bits, where float32 rounding crosses the edge between two.
    crop = {"padding_mask_crop": 4, "output_type": "pil", "tolerance": 1.01 / 255}
    alike(FluxInpaintPipeline, image=whole, mask_image=spot, **crop)


def test_callbacks_change_tensors(alike: Callable[..., Any], kind: type) -> None:
    seen: list[Any] = []

    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        shapes = {name: tuple(one.shape) for name, one in tensors.items()}
        seen.append((step, float(timestep), pipe.num_timesteps, pipe.guidance_scale, shapes))
        return {name: value * 0.9 for name, value in tensors.items()}

    alike(
        kind,
        callback_on_step_end=change,
        callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"],
        negative_prompt="a dog",
        true_cfg_scale=2.0,
    )
    half = len(seen) // 2
    assert half > 0
    assert seen[:half] == seen[half:]


def test_encode_prompt(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(FluxPipeline)
    theirs = reference(ours)
    for call in (
        {"prompt": "a cat", "prompt_2": None},
        {"prompt": ["a", "b"], "prompt_2": ["c", "d"], "num_images_per_prompt": 2},
        {"prompt": None, "prompt_2": None, **embeds()},
    ):
        with torch.no_grad():
            pairs = zip(ours.encode_prompt(**call), theirs.encode_prompt(**call))
        for one, other in pairs:
            # Float32, summed in another order where equal texts are encoded once.
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_checkpoints_are_saved_alike(
    build: Callable[..., Any], reference: Callable[[Any], Any], saved_alike: Callable[..., None],
    kind: type,
) -> None:  # fmt: skip
    ours = build(kind)
    saved_alike(ours, reference(ours))


def test_solvers_that_know_flows(alike: Callable[..., Any]) -> None:
    flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    for scheduler in (
        UniPCMultistepScheduler(**flow, use_dynamic_shifting=True),
        DPMSolverMultistepScheduler(**flow, use_dynamic_shifting=True),
    ):
        alike(FluxPipeline, num_inference_steps=4, components={"scheduler": scheduler})


def test_steps_that_sample_draw_from_the_global_generator(
    alike: Callable[..., Any], shifted: Callable[..., Any]
) -> None:
    alike(FluxPipeline, seed=None, components={"scheduler": shifted(stochastic_sampling=True)})


def test_heun_has_its_own_levels(build: Callable[..., Any]) -> None:
    pipe = build(FluxPipeline, scheduler=FlowMatchHeunDiscreteScheduler(shift=3.0))
    drawn = pipe("a cat", num_inference_steps=2, output_type="np", **SIZE).images
    assert np.isfinite(drawn).all()
