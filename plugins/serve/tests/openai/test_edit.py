"""Images from pictures and masks."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import openai
import PIL.Image
import pytest

RED = (255, 0, 0)


def png(image: PIL.Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """Return an image as a file."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


PICTURE = png(PIL.Image.new("RGB", (16, 8), RED))


def half_mask(alpha: int = 0, size: tuple[int, int] = (16, 8)) -> bytes:
    """Return a mask whose left half has `alpha`, and whose right half is opaque."""
    mask = PIL.Image.new("RGBA", size, (9, 9, 9, 255))
    mask.paste((9, 9, 9, alpha), (0, 0, size[0] // 2, size[1]))
    return png(mask)


def test_a_picture_is_given_as_it_was_sent(serve: Callable[..., Any]) -> None:
    served = serve()
    answer = served.client().images.edit(image=PICTURE, prompt="a square")
    assert len(answer.data) == 1
    assert served.studio.uploads == {"image": PICTURE}
    assert "mask" not in served.studio.given[0]


def test_a_list_of_one_is_the_same(serve: Callable[..., Any]) -> None:
    served = serve()
    served.client().images.edit(image=[("cat.png", PICTURE)], prompt="a square")
    assert served.studio.uploads == {"image": PICTURE}


@pytest.mark.parametrize(("alpha", "color"), [(0, 255), (1, 0), (255, 0)])
def test_what_is_transparent_in_the_mask_is_white(
    serve: Callable[..., Any], alpha: int, color: int
) -> None:
    served = serve()
    served.client().images.edit(image=PICTURE, mask=half_mask(alpha), prompt="a square")
    mask = PIL.Image.open(io.BytesIO(served.studio.uploads["mask"]))
    assert (mask.mode, mask.size) == ("L", (16, 8))
    assert mask.getpixel((7, 4)) == color
    assert mask.getpixel((8, 4)) == 0


def test_a_palette_can_have_the_transparency(serve: Callable[..., Any]) -> None:
    served = serve()
    mask = PIL.Image.new("P", (16, 8), 1)
    mask.putpalette([0, 0, 0, 255, 255, 255])
    mask.putpixel((3, 3), 0)
    content = png(mask, transparency=0)
    served.client().images.edit(image=PICTURE, mask=content, prompt="a square")
    made = PIL.Image.open(io.BytesIO(served.studio.uploads["mask"]))
    assert [made.getpixel((3, 3)), made.getpixel((4, 3))] == [255, 0]


def test_numbers_of_a_form_are_text(serve: Callable[..., Any]) -> None:
    served = serve()
    extensions = {
        "seed": 3,
        "num_inference_steps": 9,
        "guidance_scale": 1.5,
        "strength": 0.25,
        "lora": ["ink", "pen:0.5"],
    }
    answer = served.client().images.edit(
        image=PICTURE,
        prompt="",
        n=2,
        size="24*16",  # type: ignore[arg-type]
        output_compression=70,
        output_format="jpeg",
        extra_body={**extensions, "negative_prompt": "", "unknown": True},
    )
    assert (len(answer.data), answer.size) == (2, "24x16")
    given = served.studio.given[0]
    assert given["prompt"] == ""
    assert "negative_prompt" not in given
    assert {name: given[name] for name in extensions} == {
        "seed": "3",
        "num_inference_steps": "9",
        "guidance_scale": "1.5",
        "strength": "0.25",
        "lora": ["ink", "pen:0.5"],
    }


def test_files_are_removed(
    serve: Callable[..., Any], waited_for: Any, monkeypatch: Any, tmp_path: Any
) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    client = serve().client()
    client.images.edit(image=PICTURE, mask=half_mask(), prompt="a square")
    with pytest.raises(openai.BadRequestError):
        client.images.edit(image=PICTURE, prompt="a bad square")
    assert waited_for(lambda: not list(folder.glob("autopipe-upload-*")))


@pytest.mark.parametrize(
    ("files", "param", "said"),
    [
        ({"image": b"no image"}, "image", "image is not a PNG"),
        ({"image": PICTURE[:40]}, "image", "damaged or incomplete PNG"),
        ({"image": [PICTURE, PICTURE]}, "image", "2 files were given as image"),
        ({"image": PICTURE, "mask": PICTURE}, "mask", "the mask has no transparency"),
        ({"image": PICTURE, "mask": half_mask(size=(8, 8))}, "mask", "8x8 pixels, and the picture"),
        ({"image": PICTURE, "mask": b"GIF89a"}, "mask", "damaged or incomplete GIF"),
    ],
)
def test_files_that_dont_fit_are_refused(
    serve: Callable[..., Any], files: dict[str, Any], param: str, said: str
) -> None:
    served = serve()
    with pytest.raises(openai.BadRequestError, match=said) as caught:
        served.client().images.edit(prompt="a square", **files)
    assert caught.value.param == param
    assert served.studio.drawn == 0


def test_a_picture_beyond_the_limit_is_refused(serve: Callable[..., Any]) -> None:
    client = serve(limits={"upload": 100}).client()
    with pytest.raises(openai.APIStatusError, match="16x8 pixels, and at most 100") as caught:
        client.images.edit(image=PICTURE, prompt="a square")
    assert (caught.value.status_code, caught.value.type) == (413, "invalid_request_error")


def test_other_files_are_refused(serve: Callable[..., Any]) -> None:
    client = serve().client()
    with pytest.raises(openai.BadRequestError, match="'markup' is not used"):
        client.images.edit(image=PICTURE, markup=half_mask(), prompt="a square")
