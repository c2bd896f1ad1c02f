"""The three tasks against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.parity import TOLERANCE, generators
from support.pictures import mask, picture, tensor

import autopipe
from autopipe import FlowMatchEulerDiscreteScheduler

from ..conftest import CASES, WIDTH

pytestmark = pytest.mark.parity

NAMES = ["ZImagePipeline", "ZImageImg2ImgPipeline", "ZImageInpaintPipeline"]
IMAGES = NAMES[1:]
SOURCE = torch.Generator().manual_seed(5)
LATENTS = torch.randn(2, 4, 8, 8, generator=SOURCE)
EMBEDS = [torch.randn(n, WIDTH, generator=SOURCE) for n in (7, 40)]
NEGATIVE = [torch.randn(n, WIDTH, generator=SOURCE) for n in (3, 33)]
LONG = "a prompt that is much longer than the tokens that are read of it"
TWO = ["a cat", LONG]


@pytest.fixture
def change(compare: Callable[..., Any]) -> Callable[..., Any]:
    """`compare` for a class by name, with what its calls need."""

    def run(name: str, prompt: Any = "a cat", **call: Any) -> Any:
        return compare(getattr(autopipe, name), prompt, **{**CASES[name], **call})

    return run


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"prompt": TWO},
        {"prompt": TWO, "negative_prompt": ["dog", "b"], "num_images_per_prompt": 2},
        {"prompt": TWO, "seed": [1, 2]},
        {"num_images_per_prompt": 2, "seed": [1, 2]},
        {"seed": None},
        {"guidance_scale": 0.0},
        {"guidance_scale": 0.5, "prompt": TWO},
        {"cfg_normalization": True, "prompt": TWO},
        {"cfg_normalization": 0.6},
        {"cfg_truncation": 0.3},
        {"cfg_truncation": None},
        {"sigmas": [0.9, 0.5, 0.1]},
        {"max_sequence_length": 32, "prompt": LONG},
        {"prompt": None, "prompt_embeds": EMBEDS, "negative_prompt_embeds": NEGATIVE},
        {"prompt": None, "prompt_embeds": EMBEDS, "guidance_scale": 0.0},
        {"negative_prompt_embeds": NEGATIVE[:1]},
        {"output_type": "pt"},
        {"output_type": "latent"},
        {"output_type": "pil", "guidance_scale": 2},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
@pytest.mark.parametrize("name", NAMES)
def test_parameters(change: Callable[..., Any], name: str, call: dict[str, Any]) -> None:
    change(name, **call)


@pytest.mark.parametrize(
    "call",
    [
        {"height": 24, "width": 16},
        {"height": 64, "width": 32},
        {"latents": LATENTS[:1]},
        {"latents": LATENTS, "prompt": TWO},
    ],
    ids=lambda call: ",".join(call),
)
def test_sizes_and_noise(change: Callable[..., Any], call: dict[str, Any]) -> None:
    change(NAMES[0], **call)


@pytest.mark.parametrize(
    "call",
    [
        {"strength": 0.5, "num_inference_steps": 5},
        {"strength": 1.0},
        {"strength": 1.0, "sigmas": [0.8, 0.4]},
        {"image": picture(26, 20)},
        {"image": tensor(picture())},
        {"image": np.asarray(picture())[None] / np.float32(255)},
        {"prompt": TWO, "image": [picture(), picture(seed=3)]},
        {"prompt": TWO, "image": [picture(), picture(seed=3)], "num_images_per_prompt": 2},
        {"latents": LATENTS[:1]},
        {"height": 16, "width": 16},
    ],
    ids=lambda call: ",".join(call),
)
@pytest.mark.parametrize("name", IMAGES)
def test_images(change: Callable[..., Any], name: str, call: dict[str, Any]) -> None:
    if name == IMAGES[1] and "image" in call and not isinstance(call["image"], list):
        call = {**call, "mask_image": mask(26, 20)}
    change(name, **call)


@pytest.mark.parametrize(
    "options",
    [
        {"use_dynamic_shifting": True},
        {"use_dynamic_shifting": True, "time_shift_type": "linear", "base_image_seq_len": 64},
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True, "shift": 1.0},
        {"use_beta_sigmas": True},
        {"shift_terminal": 0.1},
        {"stochastic_sampling": True},
    ],
    ids=lambda options: next(iter(options)) + str(len(options)),
)
def test_schedules(change: Callable[..., Any], options: dict[str, Any]) -> None:
    components = {"scheduler": FlowMatchEulerDiscreteScheduler(**options)}
    for name in (NAMES[0], NAMES[1]):
        # Steps that draw noise draw from torch's own generator, in both.
        change(name, num_inference_steps=5, components=components, seed=None)


def test_parameters_change_the_image(change: Callable[..., Any]) -> None:
    """What the comparisons above compare is not all the same picture."""
    for name in NAMES:
        plain = change(name)
        for call in (
            {"prompt": "a dog"},
            {"negative_prompt": "a dog"},
            {"guidance_scale": 0.0},
            {"cfg_normalization": 0.6},
            {"cfg_truncation": 0.3},
            {"sigmas": [0.9, 0.5, 0.1]},
            {"max_sequence_length": 8},
        ):
            assert np.abs(change(name, **call) - plain).max() > 1e-3, (name, call)


def test_callbacks_change_tensors(change: Callable[..., Any]) -> None:
    def shrink(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        embeds = [one * 0.9 for one in tensors["prompt_embeds"]]
        return {"latents": tensors["latents"] * 0.9, "prompt_embeds": embeds}

    names = ["latents", "prompt_embeds"]
    for name in NAMES:
        change(
            name, TWO, callback_on_step_end=shrink, callback_on_step_end_tensor_inputs=names
        )  # fmt: skip


def test_prompts_stay_as_they_are(build: Callable[..., Any]) -> None:
    """diffusers writes the chats into the list of the caller."""
    prompts = ["a cat", "b"]
    build(autopipe.ZImagePipeline)(prompts, num_inference_steps=1, **CASES[NAMES[0]])
    assert prompts == ["a cat", "b"]


def test_kinds_of_errors(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    """Only inpainting checks its arguments there; other tasks fail by chance, in other ways."""
    ours = build(autopipe.ZImageInpaintPipeline)
    call = {"prompt": "a cat", "num_inference_steps": 1, **CASES[NAMES[2]]}
    assert_same_kinds(ours, reference(ours), call)


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_both_ways(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
    record: Callable[..., float],
    tmp_path: Path,
    name: str,
) -> None:
    import diffusers

    kind = getattr(autopipe, name)
    ours = build(kind)
    theirs = reference(ours)
    saved_alike(ours, theirs)
    pipes = (
        ours,
        getattr(diffusers, name).from_pretrained(tmp_path / "ours"),
        kind.from_pretrained(tmp_path / "theirs"),
    )
    drawn = []
    for pipe in pipes:
        pipe.set_progress_bar_config(disable=True)
        call = {"num_inference_steps": 2, "output_type": "np", **CASES[name]}
        drawn.append(pipe("a cat", **call, generator=generators(0)).images)
    for image in drawn[1:]:
        assert record("checkpoints of both", drawn[0], image) <= TOLERANCE
