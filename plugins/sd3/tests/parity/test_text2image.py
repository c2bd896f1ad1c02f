"""Text to image against diffusers, seed for seed, with every parameter of the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import autopipe
from autopipe import StableDiffusion3Pipeline as Pipe

pytestmark = pytest.mark.parity

WIDE, POOLED = 40, 20
"""The widths of embeddings and of pooled ones."""


def embeds(count: int = 1, sign: str = "", seed: int = 1) -> dict[str, Any]:
    source = torch.Generator().manual_seed(seed)
    return {
        f"{sign}prompt_embeds": torch.randn(count, 18, WIDE, generator=source),
        f"{sign}pooled_prompt_embeds": torch.randn(count, POOLED, generator=source),
    }


@pytest.fixture
def draw(compare: Callable[..., Any]) -> Callable[..., Any]:
    """`compare` with fewer tokens of T5."""
    return lambda prompt="a cat", **call: compare(Pipe, prompt, max_sequence_length=6, **call)


@pytest.mark.parametrize(
    "call",
    [
        {"prompt_2": "a red dog", "prompt_3": "a photo of a dog"},
        {"prompt": ["a cat", "a red dog"], "prompt_3": ["dog", "cat"], "num_images_per_prompt": 2},
        {"negative_prompt": "blurry", "negative_prompt_2": "dog", "negative_prompt_3": "low"},
        {"prompt": ["a cat", "a red dog"], "negative_prompt": ["dog", ""]},
        {"prompt": ["a cat", "a red dog"], "negative_prompt": "dog"},
        {"negative_prompt": "ignored", "guidance_scale": 1.0},
        {"prompt": "a prompt that is much longer than the few tokens that are read of it"},
        {"prompt": ""},
        {"height": 8, "width": 12},
        {"seed": None},
        {"seed": [1, 2], "num_images_per_prompt": 2},
        {"output_type": "pt"},
        {"output_type": "latent"},
        {"num_inference_steps": 1},
        {"sigmas": [1.0, 0.6, 0.1]},
        {"clip_skip": 1, "negative_prompt": "dog"},
        {"joint_attention_kwargs": {}},
        {"num_inference_steps": 6, "skip_guidance_layers": [1]},
        {
            "num_inference_steps": 6,
            "skip_guidance_layers": [0, 2],
            "skip_layer_guidance_scale": 1.5,
            "skip_layer_guidance_start": 0.3,
            "skip_layer_guidance_stop": 0.9,
            "num_images_per_prompt": 2,
        },
        {"skip_guidance_layers": [1], "guidance_scale": 1.0},
    ],
    ids=lambda call: ",".join(call),
)
def test_parameters(draw: Callable[..., Any], call: dict[str, Any]) -> None:
    draw(**call)


def test_parameters_change_the_image(draw: Callable[..., Any]) -> None:
    """What the comparisons above compare is not all the same picture."""
    plain = draw(num_inference_steps=6)
    for call in (
        {"prompt": "a red dog"},
        {"prompt_2": "a red dog"},
        {"prompt_3": "a red dog"},
        {"negative_prompt_3": "blurry"},
        {"guidance_scale": 1.0},
        {"clip_skip": 1},
        {"skip_guidance_layers": [1]},
    ):
        assert np.abs(draw(num_inference_steps=6, **call) - plain).max() > 1e-3, call


def test_zeros_stand_for_an_absent_t5(draw: Callable[..., Any]) -> None:
    absent = {"text_encoder_3": None, "tokenizer_3": None}
    found = draw(components=absent, negative_prompt="dog", num_images_per_prompt=2)
    assert np.abs(found - draw(negative_prompt="dog", num_images_per_prompt=2)).max() > 1e-3


def test_embeddings(draw: Callable[..., Any]) -> None:
    draw(None, **embeds(2), **embeds(2, sign="negative_", seed=2))
    draw(None, **embeds(2), negative_prompt=["a red dog", "cat"])
    draw("a cat", **embeds(sign="negative_"))


def test_latents(draw: Callable[..., Any]) -> None:
    latents = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(5))
    draw(latents=latents, num_images_per_prompt=2)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "use_karras_sigmas": True}),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 2.0, "stochastic_sampling": True}),
        ("FlowMatchHeunDiscreteScheduler", {"shift": 3.0}),
    ],
)
def test_schedulers(draw: Callable[..., Any], name: str, options: dict[str, Any]) -> None:
    given = {"scheduler": getattr(autopipe, name)(**options)}
    # Samples of a scheduler come from torch's own generator, which no seed but None sets.
    plain = draw(components=given, seed=None)
    if options.get("use_dynamic_shifting"):
        assert np.abs(draw(components=given, seed=None, mu=2.0) - plain).max() > 1e-3


def test_networks_of_the_first_version(
    draw: Callable[..., Any], transformers: Callable[..., Any]
) -> None:
    draw(components={"transformer": transformers(qk_norm=None, dual_attention_layers=())})


def test_callbacks_change_tensors(draw: Callable[..., Any]) -> None:
    seen: list[Any] = []

    def change(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append((step, float(timestep), pipe.num_timesteps, pipe.guidance_scale))
        return {name: value * 0.9 for name, value in tensors.items()}

    names = ["latents", "prompt_embeds", "pooled_prompt_embeds"]
    draw(callback_on_step_end=change, callback_on_step_end_tensor_inputs=names)
    assert seen[:3] == seen[3:]


def test_encode_prompt(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    theirs = reference(ours)
    for call in (
        {"prompt": "a cat"},
        {"prompt": ["a", "b"], "num_images_per_prompt": 2, "negative_prompt": ["c", "d"]},
        {"prompt": "a cat", "do_classifier_free_guidance": False},
    ):
        call = {"prompt_2": None, "prompt_3": None, **call}
        with torch.no_grad():
            found, expected = ours.encode_prompt(**call), theirs.encode_prompt(**call)
        for one, other in zip(found, expected):
            assert (one is None) == (other is None)
            if one is not None:
                # Float32, summed in another order where equal texts are encoded once.
                torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
