from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import webuiapi
from PIL import Image, ImageDraw

from autopipe_requests.foreign.infotext import split

YELLOW, PAINT = (255, 255, 0), (0, 200, 0)


def _mask(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    """White in a box, whose right and lower sides are outside of it."""
    mask = Image.new("L", size)
    mask.paste(255, box)
    return mask


def test_an_image_is_changed(api: webuiapi.WebUIApi, studio: Any) -> None:
    source = Image.new("RGB", (100, 50), YELLOW)
    found = api.img2img([source], denoising_strength=0.4, width=64, height=32, seed=1, n_iter=2)
    assert [one.size for one in found.images] == [(64, 32)] * 2
    assert studio.given[0]["task"] == "image2image"
    assert studio.given[0]["strength"] == 0.4
    assert studio.pictures[0]["image"].size == (64, 32)
    assert found.parameters["init_images"] is None
    assert "autopipe" in found.image.info


def test_several_images_count_as_a_batch(api: webuiapi.WebUIApi, studio: Any) -> None:
    sources = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    found = api.img2img(sources, width=16, height=16, seed=7, n_iter=2)
    assert found.info["all_seeds"] == [7, 8, 9, 10]
    colors = [one["image"].getpixel((0, 0)) for one in studio.pictures]
    assert colors == [(255, 0, 0), (0, 0, 255)]


def test_transparent_parts_are_white(api: webuiapi.WebUIApi, studio: Any) -> None:
    api.img2img([Image.new("RGBA", (16, 16), (255, 0, 0, 0))], width=16, height=16)
    assert studio.pictures[0]["image"].getpixel((3, 3)) == (255, 255, 255)


@pytest.mark.parametrize("full", [True, False])
def test_white_is_repainted_and_the_rest_is_not(
    api: webuiapi.WebUIApi, studio: Any, full: bool
) -> None:
    source = Image.effect_noise((96, 64), 60).convert("RGB")
    box = (32, 16, 48, 40)
    found = api.img2img(
        [source], mask_image=_mask(source.size, box), mask_blur=0, width=96, height=64,
        inpaint_full_res=full, inpaint_full_res_padding=8, sampler_name="Euler",
    )  # fmt: skip
    expected = source.copy()
    expected.paste(PAINT, box)
    assert found.image.size == source.size
    assert found.image.tobytes() == expected.tobytes()
    assert studio.given[0]["task"] == "inpaint"
    assert studio.pictures[0]["mask"].size == (96, 64)


def test_only_the_surroundings_of_the_mask_are_drawn(api: webuiapi.WebUIApi, studio: Any) -> None:
    source = Image.new("RGB", (200, 200), YELLOW)
    ImageDraw.Draw(source).rectangle((80, 80, 119, 119), fill="red")
    found = api.img2img(
        [source], mask_image=_mask(source.size, (90, 90, 110, 110)), mask_blur=0, width=64,
        height=64, inpaint_full_res_padding=10, inpainting_fill=1,
    )  # fmt: skip
    drawn = studio.pictures[0]
    assert drawn["image"].getpixel((0, 0)) == (254, 0, 0) or drawn["image"].getpixel((2, 2)) == (
        255, 0, 0,
    )  # fmt: skip
    # A quarter on each side is the margin.
    assert drawn["mask"].getpixel((8, 8)) == 0
    assert drawn["mask"].getpixel((32, 32)) == 255
    assert found.image.size == (200, 200)
    settings = split(found.info["infotexts"][0])[2]
    assert settings["Inpaint area"] == "Only masked"
    assert settings["Masked area padding"] == "10"
    # The image isn't that of the request, so it doesn't carry its record.
    assert "autopipe" not in found.image.info
    assert found.image.info["parameters"] == found.info["infotexts"][0]


def test_an_inverted_mask(api: webuiapi.WebUIApi) -> None:
    source = Image.new("RGB", (64, 64), YELLOW)
    found = api.img2img(
        [source], mask_image=_mask(source.size, (0, 0, 32, 64)), inpainting_mask_invert=1,
        mask_blur=0, width=64, height=64, inpaint_full_res=False,
    )  # fmt: skip
    assert found.image.getpixel((10, 10)) == YELLOW
    assert found.image.getpixel((50, 10)) == PAINT


def test_of_a_mask_with_alpha_that_counts(api: webuiapi.WebUIApi) -> None:
    source = Image.new("RGB", (64, 64), YELLOW)
    mask = Image.new("RGBA", source.size, (0, 0, 0, 0))
    mask.paste((10, 20, 30, 255), (0, 0, 32, 64))
    found = api.img2img(
        [source], mask_image=mask, mask_blur=0, width=64, height=64, inpaint_full_res=False
    )
    assert found.image.getpixel((10, 10)) == PAINT
    assert found.image.getpixel((50, 10)) == YELLOW


def test_soft_edges(api: webuiapi.WebUIApi) -> None:
    source = Image.new("RGB", (64, 64), "black")
    found = api.img2img(
        [source], mask_image=_mask(source.size, (0, 0, 32, 64)), mask_blur=4, width=64,
        height=64, inpaint_full_res=False,
    )  # fmt: skip
    row = [found.image.getpixel((x, 32))[1] for x in range(64)]
    assert row[:30] == [PAINT[1]] * 30
    assert row[50:] == [0] * 14
    assert row == sorted(row, reverse=True)
    assert len(set(row)) > 5


@pytest.mark.parametrize("fill", [0, 1, 2, 3])
def test_what_is_under_the_mask(api: webuiapi.WebUIApi, studio: Any, fill: int) -> None:
    source = Image.new("RGB", (64, 64), "blue")
    source.paste("red", (20, 20, 44, 44))
    found = api.img2img(
        [source], mask_image=_mask(source.size, (20, 20, 44, 44)), mask_blur=0, width=64,
        height=64, inpaint_full_res=False, inpainting_fill=fill, seed=1,
    )  # fmt: skip
    seen = studio.pictures[0]["image"]
    assert seen.getpixel((5, 5)) == (0, 0, 255)
    inside = seen.getpixel((32, 32))
    red, blue = (255, 0, 0), (0, 0, 255)
    assert (inside == red) == (fill == 1)
    assert (inside == blue) == (fill == 0)
    assert (inside == (128, 128, 128)) == (fill == 3)
    noted = any("inpainting_fill" in one for one in found.info["comments"])
    assert noted == (fill in (2, 3))


def test_a_mask_without_white_is_refused(address: str, image_text: Callable[..., str]) -> None:
    body = {"init_images": [image_text()], "mask": image_text(color="black")}
    found = httpx.post(f"{address}/img2img", json=body)
    assert found.status_code == 422
    assert "black everywhere" in found.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"init_images": []}, 422),
        ({"init_images": ["!!!"]}, 400),
        ({"init_images": ["aGVsbG8="]}, 415),
        ({"init_images": ["http://127.0.0.1/a.png"]}, 400),
        ({"init_images": ["/etc/passwd"]}, 415),
        ({"init_images": "good", "mask": "aGVsbG8="}, 415),
        ({"init_images": "good", "resize_mode": 9}, 422),
        ({"init_images": "good", "denoising_strength": 2}, 422),
        ({"init_images": "many"}, 400),
    ],
)
def test_images_that_are_refused(
    address: str, studio: Any, image_text: Callable[..., str], body: dict[str, Any], status: int
) -> None:
    given = body.get("init_images")
    if isinstance(given, str):
        body = {**body, "init_images": [image_text()] * (1 if given == "good" else 20)}
    found = httpx.post(f"{address}/img2img", json=body)
    assert found.status_code == status
    assert found.json().keys() == {"error", "detail", "body", "errors"}
    assert studio.tickets == []


def test_uploads_are_removed(
    api: webuiapi.WebUIApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    api.img2img([Image.new("RGB", (16, 16))], width=16, height=16)
    assert list((tmp_path / "uploads").iterdir()) == []
