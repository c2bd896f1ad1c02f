"""With the demo: what clients see when something is really drawn."""

from __future__ import annotations

from typing import Any

import pytest
import webuiapi
from PIL import Image, ImageChops

SMALL = {"width": 64, "height": 64}


def _differ(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox() is not None


def test_seeds_and_samplers_decide(demo: webuiapi.WebUIApi) -> None:
    given: dict[str, Any] = {"prompt": "a red circle", "seed": 4, **SMALL}
    one = demo.txt2img(**given, sampler_name="Euler", batch_size=2)
    again = demo.txt2img(**{**given, "seed": 5}, sampler_name="Euler").image
    assert not _differ(one.images[1], again)
    assert _differ(one.images[0], one.images[1])
    assert _differ(one.images[0], demo.txt2img(**given, sampler_name="DDIM").image)


def test_every_sampler_draws_the_colors_of_the_prompt(demo: webuiapi.WebUIApi) -> None:
    for name in demo.util_get_sampler_names():
        prompt = "a red circle on a yellow background"
        drawn = demo.txt2img(prompt=prompt, seed=3, steps=20, sampler_name=name, **SMALL).image
        red, green, blue = drawn.convert("RGB").getpixel((3, 3))
        assert min(red, green) > 150 > blue, name


def test_a_mask(demo: webuiapi.WebUIApi) -> None:
    source = Image.effect_noise((80, 72), 50).convert("RGB")
    mask = Image.new("L", source.size)
    box = (24, 24, 56, 48)
    mask.paste(255, box)
    for full in (True, False):
        found = demo.img2img(
            [source], mask_image=mask, mask_blur=0, width=80, height=72, prompt="a blue star",
            inpaint_full_res=full, inpaint_full_res_padding=8, denoising_strength=1.0, seed=1,
        ).image  # fmt: skip
        kept = Image.new("L", source.size, 255)
        kept.paste(0, box)
        black = Image.new("RGB", source.size)
        outside = [Image.composite(one.convert("RGB"), black, kept) for one in (source, found)]
        assert not _differ(*outside)
        assert _differ(found.crop(box), source.crop(box))


def test_two_passes(demo: webuiapi.WebUIApi) -> None:
    found = demo.txt2img(prompt="a red circle", enable_hr=True, hr_scale=1.5, seed=2, **SMALL)
    assert found.image.size == (96, 96)


def test_a_picture_is_drawn_again_from_what_png_info_says(demo: webuiapi.WebUIApi) -> None:
    one = demo.txt2img(prompt="a red circle", negative_prompt="blue", **SMALL).image
    said = demo.png_info(one).parameters
    again = demo.txt2img(
        prompt=said["Prompt"], negative_prompt=said["Negative prompt"], seed=int(said["Seed"]),
        sampler_name=said["Sampler"], scheduler=said["Schedule type"], steps=int(said["Steps"]),
        cfg_scale=float(said["CFG scale"]), width=int(said["Size-1"]), height=int(said["Size-2"]),
    ).image  # fmt: skip
    assert not _differ(one, again)


def test_sizes_are_rounded_and_limited(demo: webuiapi.WebUIApi) -> None:
    found = demo.txt2img(width=79, height=7)
    assert found.image.size == (found.info["width"], found.info["height"]) == (72, 8)
    assert any("multiples of 8" in one for one in found.info["comments"])
    with pytest.raises(RuntimeError, match=r"400.*8,192 x 8,192"):
        demo.txt2img(width=8192, height=8192)
