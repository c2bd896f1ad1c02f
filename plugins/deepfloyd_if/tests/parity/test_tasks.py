"""All six classes against diffusers, seed for seed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from autopipe import DDPMScheduler

pytestmark = pytest.mark.parity

TOLERANCE = 5e-4
"""Rounding in float32 is made 2 * 7 + 1 times larger by guidance, and again where there is almost
nothing but noise: the image found in it is divided by what is left of the image."""

A_SHADE = 1.01 / 255
"""What such rounding makes of pixels that are whole numbers."""


@pytest.fixture
def draw(compare: Callable[..., Any], task: Any) -> Callable[..., Any]:
    """`compare` of each class in turn."""

    def run(prompt: Any = "a cat", **call: Any) -> Any:
        call = {**task.call, "output_type": "np", **call}
        count = len(prompt) if isinstance(prompt, list) else 1
        # The reference takes as many images as prompts.
        for name in ("image", "original_image"):
            given = call.get(name)
            if isinstance(given, torch.Tensor) and len(given) < count:
                call[name] = given.repeat(count, 1, 1, 1)
            elif given is not None and not isinstance(given, (list, torch.Tensor)):
                call[name] = [given] * count
        tolerance = A_SHADE if call["output_type"] == "pil" else TOLERANCE
        return compare(task.kind, prompt, tolerance=tolerance, **call)

    return run


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"prompt": ["a cat", "a red dog"]},
        {"prompt": ["a cat", "a red dog"], "num_images_per_prompt": 2},
        {"negative_prompt": "blurry"},
        {"prompt": ["a", "b"], "negative_prompt": ["blurry", "low quality"]},
        {"prompt": "A Photo of  NOTHING " * 40, "clean_caption": False},
        {"num_images_per_prompt": 2},
        {"num_images_per_prompt": 2, "seed": [1, 2]},
        {"seed": [4]},
        {"seed": None},
        {"guidance_scale": 1.0},
        {"guidance_scale": 1.0, "negative_prompt": "blurry"},
        {"num_inference_steps": 7},
        {"timesteps": [900, 600, 300, 50]},
        {"output_type": "pt"},
        {"output_type": "pil"},
    ],
    ids=lambda call: ",".join(call),
)
def test_parameters(draw: Callable[..., Any], call: dict[str, Any]) -> None:
    draw(**call)


def test_schedulers(draw: Callable[..., Any]) -> None:
    """With a variance that is learned, and with one of the scheduler's own."""
    for options in (
        {"variance_type": "fixed_small"},
        {"variance_type": "fixed_large", "clip_sample": True},
        {"variance_type": "learned_range", "thresholding": False, "clip_sample": False},
    ):
        draw(components={"scheduler": DDPMScheduler(**options)})


def test_embeddings(draw: Callable[..., Any]) -> None:
    source = torch.Generator().manual_seed(1)
    for tokens in (77, 5):
        embeds = {
            "prompt_embeds": torch.randn(1, tokens, 24, generator=source),
            "negative_prompt_embeds": torch.randn(1, tokens, 24, generator=source),
        }
        draw(None, **embeds)
        draw(None, **embeds, components={"text_encoder": None, "tokenizer": None})
        draw(None, **embeds, num_images_per_prompt=2)


def test_prompt_embeddings_alone(draw: Callable[..., Any]) -> None:
    """The negative half is encoded, at their length."""
    draw(None, prompt_embeds=torch.ones(1, 9, 24), negative_prompt="blurry")


def test_parameters_change_the_image(draw: Callable[..., Any]) -> None:
    plain = draw()
    for call in (
        {"prompt": "a red dog"},
        {"negative_prompt": "blurry"},
        {"guidance_scale": 1.5},
        {"seed": 1},
    ):
        assert np.abs(draw(**call) - plain).max() > 1e-3, call


@pytest.mark.parametrize(("unwanted", "marked"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("output_type", ["pil", "np", "pt"])
def test_the_safety_checker(
    draw: Callable[..., Any],
    checkers: Callable[..., Any],
    feature_extractor: Any,
    unwanted: bool,
    marked: bool,
    output_type: str,
) -> None:
    checker = checkers(unwanted, marked)
    components = {"safety_checker": checker, "feature_extractor": feature_extractor}
    found = draw(output_type=output_type, components=components)
    black = (unwanted or marked) and output_type != "pt"
    assert (np.count_nonzero(found) == 0) == black


def test_the_watermarker(
    draw: Callable[..., Any], task: Any, unets: Callable[..., Any], watermarker: Any
) -> None:
    """On pictures that are large enough for it to be seen."""
    unet = unets(task.stage, sample_size=48)
    marked = draw(output_type="pil", components={"unet": unet, "watermarker": watermarker})
    plain = draw(output_type="pil", components={"unet": unet})
    changed = np.abs(marked - plain).max(axis=(0, -1)) > 2 * A_SHADE
    assert changed.any()
    # It is in the lower right corner.
    assert not changed[:36].any()
    assert not changed[:, :36].any()


def test_callbacks_of_the_reference(
    build: Callable[..., Any], reference: Callable[[Any], Any], task: Any
) -> None:
    ours = build(task.kind)
    seen: dict[str, list[Any]] = {"ours": [], "theirs": []}
    for name, pipe in (("ours", ours), ("theirs", reference(ours))):
        call = {**copy.deepcopy(task.call), "num_inference_steps": 5, "callback_steps": 2}
        pipe(
            prompt="a cat",
            **call,
            generator=torch.Generator().manual_seed(0),
            callback=lambda step, t, images, name=name: seen[name].append(
                (step, int(t), images.numpy().copy())
            ),
        )
    assert [one[:2] for one in seen["ours"]] == [one[:2] for one in seen["theirs"]]
    for one, other in zip(seen["ours"], seen["theirs"]):
        assert np.abs(one[2] - other[2]).max() <= TOLERANCE
