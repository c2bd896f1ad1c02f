from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.steps import checks

EMBEDS = torch.zeros(2, 7, 8)
PICTURE = Image.new("RGB", (16, 16))


@pytest.mark.parametrize("prompt", ["a cat", ["a cat", "a dog"], ""])
def test_prompts_that_are_fine(prompt):
    checks.check_prompt(prompt)
    checks.check_prompt(prompt, negative_prompt=prompt)
    checks.check_prompt(None, EMBEDS, negative_prompt_embeds=EMBEDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), "neither prompt nor prompt_embeds"),
        (("a", EMBEDS), "both prompt and prompt_embeds"),
        (("a", None, "b", EMBEDS), "both negative_prompt and"),
        ((None, EMBEDS, None, EMBEDS[:1]), r"\(2, 7, 8\).*\(1, 7, 8\)"),
        (([],), "empty list"),
        ((None, EMBEDS[:0]), "none of length 0"),
        ((None, EMBEDS, None, EMBEDS[0]), "negative_prompt_embeds .*three axes"),
    ],
)
def test_prompts_of_wrong_values(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        checks.check_prompt(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3,), "prompt is a int"),
        ((("a", "b"),), "prompt is a tuple"),
        ((["a", 3],), "list of int, str"),
        (("a", None, 3), "negative_prompt is a int"),
        ((None, [1.0]), "prompt_embeds is a list"),
    ],
)
def test_prompts_of_wrong_types(arguments, message):
    with pytest.raises(ArgumentTypeError, match=message):
        checks.check_prompt(*arguments)


def test_a_second_prompt_is_called_by_its_name():
    with pytest.raises(ArgumentTypeError, match="prompt_2 is a int"):
        checks.check_prompt(3, name="prompt_2")


def test_negative_prompts_match_the_prompts():
    checks.check_negative_prompt(None, ["a", "b"], 2)
    checks.check_negative_prompt(["c", "d"], ["a", "b"], 2)
    checks.check_negative_prompt("c", "a", 1)
    with pytest.raises(ArgumentTypeError, match="str where prompt is a list"):
        checks.check_negative_prompt("c", ["a", "b"], 2)
    with pytest.raises(ArgumentError, match="1 negative prompts for 2"):
        checks.check_negative_prompt(["c"], ["a", "b"], 2)


def test_the_batch_is_counted():
    assert checks.batch_size_of("a", None) == 1
    assert checks.batch_size_of(["a", "b", "c"], None) == 3
    assert checks.batch_size_of(None, EMBEDS) == 2


@pytest.mark.parametrize(("height", "width"), [(63, 64), (64, 100), (0, 64), (64, -8)])
def test_sizes_that_do_not_fit(height, width):
    with pytest.raises(ArgumentError, match="divisible by 8"):
        checks.check_size(height, width)


def test_sizes():
    checks.check_size(64, 8)
    checks.check_size(60, 4, multiple=4)
    with pytest.raises(ArgumentError, match="such as 96 or 104"):
        checks.check_size(64, 100)
    with pytest.raises(ArgumentTypeError, match="width is a float"):
        checks.check_size(64, 64.0)


@pytest.mark.parametrize("strength", [-0.1, 1.0001, float("nan")])
def test_strengths_outside_the_range(strength):
    with pytest.raises(ArgumentError, match=r"\[0, 1\]"):
        checks.check_strength(strength)


def test_strengths():
    for strength in (0, 1, 0.3, np.float32(0.5)):
        checks.check_strength(strength)
    for wrong in ("0.5", True, None):
        with pytest.raises(ArgumentTypeError):
            checks.check_strength(wrong)


def test_steps():
    checks.check_steps(1)
    checks.check_steps(None, timesteps=[3, 2])
    for wrong in (0, -1):
        with pytest.raises(ArgumentError, match="1 or more"):
            checks.check_steps(wrong)
    for wrong_type in (2.0, None, True):
        with pytest.raises(ArgumentTypeError, match="whole number"):
            checks.check_steps(wrong_type)
    with pytest.raises(ArgumentError, match="both"):
        checks.check_steps(None, [1], [1.0])
    with pytest.raises(ArgumentError, match="sigmas is empty"):
        checks.check_steps(5, sigmas=[])
    for fine in ((9, 4), range(9, 4, -1), torch.arange(4), np.arange(4)):
        checks.check_steps(None, timesteps=fine)
    for wrong_type in (5, "abc", ["a"], [None], [float("nan")], [[1]], object()):
        with pytest.raises(ArgumentTypeError, match="give a list of numbers"):
            checks.check_steps(5, timesteps=wrong_type)


def test_guidance():
    for fine in (-1, 0, 7.5, np.float32(2)):
        checks.check_guidance(fine)
    for wrong_type in ("7", None, True, torch.tensor(3.0)):
        with pytest.raises(ArgumentTypeError, match="guidance_scale is a"):
            checks.check_guidance(wrong_type)
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="finite"):
            checks.check_guidance(wrong)
    with pytest.raises(ArgumentError, match="guidance_rescale is 2"):
        checks.check_guidance(7.5, 2)


def test_eta():
    for fine in (0, 1, 0.5):
        checks.check_eta(fine)
    with pytest.raises(ArgumentTypeError, match="eta is a str"):
        checks.check_eta("0.5")
    for wrong in (-0.1, 2, float("nan")):
        with pytest.raises(ArgumentError, match=r"\[0, 1\]"):
            checks.check_eta(wrong)


def test_images_per_prompt():
    checks.check_images_per_prompt(2)
    with pytest.raises(ArgumentError, match="num_images_per_prompt is 0"):
        checks.check_images_per_prompt(0)


def test_generators():
    one = torch.Generator()
    for fine in (None, one, [one, one]):
        checks.check_generators(fine, 2)
    for count in (1, 3):
        with pytest.raises(ArgumentError, match=f"{count} generators for a batch of 2"):
            checks.check_generators([one] * count, 2)
    for wrong in (42, [one, 42]):
        with pytest.raises(ArgumentTypeError, match=r"torch\.Generator"):
            checks.check_generators(wrong, 2)


def test_callback_inputs():
    checks.check_callback_inputs(None, ("latents",))
    checks.check_callback_inputs(["latents"], ("latents", "mask"))
    with pytest.raises(ArgumentError, match="Did you mean 'latents'"):
        checks.check_callback_inputs(["latent"], ("latents", "mask"))
    for wrong_type in (5, "latents", {"latents": 1}):
        with pytest.raises(ArgumentTypeError, match="give a list of names"):
            checks.check_callback_inputs(wrong_type, ("latents",))


def test_image_and_mask_of_different_sizes():
    image = torch.zeros(1, 3, 16, 16)
    checks.check_mask(image, torch.zeros(16, 16))
    checks.check_mask(image, Image.new("L", (9, 9)))
    checks.check_mask(PICTURE, torch.zeros(9, 9))
    # Latents have a size of their own.
    checks.check_mask(torch.zeros(1, 4, 8, 8), torch.zeros(1, 1, 16, 16))
    with pytest.raises(ArgumentError, match=r"\(16, 16\).*\(16, 8\)"):
        checks.check_mask(image, torch.zeros(1, 1, 16, 8))
    with pytest.raises(ArgumentError, match=r"\(16, 16\)"):
        checks.check_mask([image[0]], [torch.zeros(8, 8)])


def test_images_that_are_missing_or_none():
    checks.check_image(PICTURE)
    with pytest.raises(ArgumentError, match="image is missing"):
        checks.check_image(None)
    with pytest.raises(ArgumentError, match="mask_image is missing"):
        checks.check_mask(PICTURE, None)
    with pytest.raises(ArgumentTypeError, match="load_image"):
        checks.check_image("picture.png")


def test_cropping_around_the_mask():
    checks.check_mask_crop(None, None, None, "np")
    checks.check_mask_crop(0, PICTURE, PICTURE, "pil")
    with pytest.raises(ArgumentError, match="output_type"):
        checks.check_mask_crop(8, PICTURE, PICTURE, "np")
    for images in ((torch.zeros(3, 8, 8), PICTURE), (PICTURE, [PICTURE])):
        with pytest.raises(ArgumentTypeError, match="single PIL image"):
            checks.check_mask_crop(8, *images, "pil")
    with pytest.raises(ArgumentError, match="0 or more"):
        checks.check_mask_crop(-1, PICTURE, PICTURE, "pil")


def test_parts_of_a_schedule():
    for fine in ((None, None), (0.5, None), (None, 0.5), (0.2, 0.8)):
        checks.check_part(*fine)
    for wrong in (0, 1, 1.5, -0.1):
        with pytest.raises(ArgumentError, match="between 0 and 1"):
            checks.check_part(wrong, None)
    for wrong in ("0.5", True):
        with pytest.raises(ArgumentTypeError, match="end is a"):
            checks.check_part(None, wrong)
    with pytest.raises(ArgumentError, match=r"first is 0\.5 and last 0\.5"):
        checks.check_part(0.5, 0.5, names=("first", "last"))
