"""`check_inputs`, made of lists of names."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from PIL import Image

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.steps.given import ChecksGiven, check_images_given, checks_of


class Toy(ChecksGiven):
    _callback_tensor_inputs = ("latents",)

    check_inputs = checks_of(
        "prompt height width strength callback_steps", "prompt_embeds scale", scale=2.0
    )


def test_the_signature_is_what_the_lists_say() -> None:
    parameters = inspect.signature(Toy.check_inputs).parameters
    names = ["self", "prompt", "height", "width", "strength", "callback_steps", "prompt_embeds"]
    assert list(parameters) == [*names, "scale"]
    assert parameters["prompt"].default is inspect.Parameter.empty
    assert parameters["prompt_embeds"].default is None
    assert parameters["scale"].default == 2.0
    Toy().check_inputs("a cat", 16, width=16, strength=0.5, callback_steps=1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "prompt"),
        (("a", 16, 16, 0.5, 1, None, 1.0, 5), "too many"),
        (("a", 15, 16, 0.5, 1), "height is 15"),
        (("a", 16, 16, 2, 1), "strength is 2"),
        (("a", 16, 16, 0.5, 0), "callback_steps is 0"),
        ((5, 16, 16, 0.5, 1), "prompt"),
        (("a", 16, 16, 0.5, 1, torch.zeros(1, 2, 3)), "both prompt and prompt_embeds"),
    ],
)
def test_bad_arguments(given: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Toy().check_inputs(*given)
    with pytest.raises(ArgumentTypeError, match="promt"):
        Toy().check_inputs("a", 16, 16, 0.5, 1, promt=1)


def test_images_are_one_for_all_or_one_for_each() -> None:
    picture = Image.new("RGB", (4, 4))
    embeds = torch.zeros(2, 3, 4)
    for image in (picture, [picture], [picture] * 2, torch.zeros(2, 3, 4, 4)):
        check_images_given("image", image, ["a", "b"], None)
        check_images_given("image", image, None, embeds)
        check_images_given("image", image, None, None, batch_size=2)
    check_images_given("image", picture, None, None)
    for image in ([picture] * 3, torch.zeros(3, 3, 4, 4)):
        with pytest.raises(ArgumentError, match="3 images for 2 prompts"):
            check_images_given("image", image, ["a", "b"], None)
    for prompt, embeds in ((5, None), (None, "x")):  # type: ignore[assignment]
        with pytest.raises(ArgumentTypeError, match="prompt"):
            check_images_given("image", picture, prompt, embeds)
    with pytest.raises(TypeError, match="image is missing"):
        check_images_given("image", None, "a", None)
