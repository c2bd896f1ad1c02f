"""The canvas: a picture that a user loads or draws, and a mask that is painted over it."""

from __future__ import annotations

import io
import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

PAPER = "white"
"""The colour of an empty canvas."""


def picture_in(value: Mapping[str, Any] | None, *, with_layers: bool) -> Image | None:
    """Return the picture of an editor's value in RGB; None if it is empty.

    Args:
        value: `background` and `layers`, images in RGBA or None.
        with_layers: whether what was painted over it belongs to the picture.
    """
    import PIL.Image

    if not value:
        return None
    background, layers = value.get("background"), value.get("layers") or []
    parts = [one for one in (background, *(layers if with_layers else ())) if one is not None]
    if not any(_is_painted(one) for one in parts):
        return None
    paper = PIL.Image.new("RGBA", parts[0].size, PAPER)
    for one in parts:
        paper.alpha_composite(_rgba(one, paper.size))
    return paper.convert("RGB")


def mask_in(value: Mapping[str, Any] | None) -> Image | None:
    """Return a mask, white where an editor's value was painted over; None if it wasn't."""
    import PIL.Image

    layers = [one for one in ((value or {}).get("layers") or ()) if one is not None]
    if not layers:
        return None
    size = layers[0].size
    background = (value or {}).get("background")
    if background is not None:
        size = background.size
    mask = PIL.Image.new("L", size, 0)
    for one in layers:
        mask.paste(255, mask=_rgba(one, size).getchannel("A").point(_painted))
    return mask if mask.getbbox() else None


def saved(value: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write an editor's value into a folder, and return it with files, as an editor takes it."""

    def written(image: Image | None) -> str | None:
        if image is None:
            return None
        file = folder / f"canvas-{secrets.token_hex(8)}.png"
        image.save(file)
        return str(file)

    layers = [written(one) for one in value.get("layers") or () if _is_painted(one)]
    background = written(value.get("background"))
    return {"background": background, "layers": layers, "composite": background}


def enlarged(file: Path, folder: Path, least: int = 384) -> dict[str, Any]:
    """Return a picture as an editor takes it, which shows pixels as they are.

    Args:
        file: the picture.
        folder: where a small one is written, enlarged by a whole number.
        least: the least width or height of a picture that isn't small, in pixels.
    """
    import PIL.Image

    with PIL.Image.open(file) as image:
        factor = max(1, math.ceil(least / max(image.size)))
        size = (image.width * factor, image.height * factor)
        found = image.convert("RGBA").resize(size, PIL.Image.Resampling.NEAREST)
    return saved({"background": found}, folder)


def size_of(value: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """Return width and height of a saved value in pixels, or None without a picture."""
    import PIL.Image

    if not value or not value.get("background"):
        return None
    with PIL.Image.open(value["background"]) as image:
        return image.size


def png_of(image: Image) -> bytes:
    """Return an image as the bytes of a PNG file."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def fitted(size: tuple[int, int], usual: tuple[int, int]) -> tuple[int, int]:
    """Return the size in which a picture is drawn: of its shape, with as many pixels as usual.

    Args:
        size: width and height of the picture, in pixels.
        usual: width and height in pixels for which the model was trained.

    Returns:
        Width and height; multiples of 64 for usual sizes of at least 512, or else of 8.
    """
    unit = 64 if min(usual) >= 512 else 8
    shape = math.sqrt(size[0] / size[1])
    side = math.sqrt(usual[0] * usual[1])
    width, height = (max(unit, round(one / unit) * unit) for one in (side * shape, side / shape))
    return width, height


def _rgba(image: Image, size: tuple[int, int]) -> Image:
    found = image.convert("RGBA")
    return found if found.size == size else found.resize(size)


def _is_painted(image: Image) -> bool:
    return image.convert("RGBA").getchannel("A").getbbox() is not None


def _painted(alpha: int) -> int:
    return 255 if alpha else 0
