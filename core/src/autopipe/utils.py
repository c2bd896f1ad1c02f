"""Small helpers for pictures that programs around a pipeline use."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ArgumentError, ArgumentTypeError, ImageFileError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

_TIMEOUT = 60.0
"""Seconds to wait for a server."""


def load_image(
    image: str | Path | Image, convert_method: Callable[[Image], Image] | None = None
) -> Image:
    """A picture from a file, from an `http(s)://` address, or as it is; upright, in RGB.

    Args:
        image: a path, an address, or a PIL image.
        convert_method: applied instead of the conversion to RGB.

    Raises:
        ImageFileError: there is no such file, the address gives none, or it is no picture.
        ArgumentTypeError: `image` is something else.
    """
    import PIL.Image
    import PIL.ImageOps

    if isinstance(image, (str, Path)):
        picture = _open(image)
    elif isinstance(image, PIL.Image.Image):
        picture = image
    else:
        raise ArgumentTypeError(
            f"load_image takes a path, an address or a PIL image, not a {type(image).__name__}"
        )
    upright = PIL.ImageOps.exif_transpose(picture)
    return upright.convert("RGB") if convert_method is None else convert_method(upright)


def _open(source: str | Path) -> Image:
    import PIL.Image

    stream: Any = source
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        stream = io.BytesIO(_fetch(source))
    elif not Path(source).is_file():
        raise ImageFileError(
            f"there is no file {str(source)!r}; give the path of a picture, or an address that "
            f"begins with http:// or https://"
        )
    try:
        picture = PIL.Image.open(stream)
        picture.load()
    except (OSError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise ImageFileError(f"{str(source)!r} can't be read as a picture: {error}") from error
    return picture


def _fetch(address: str) -> bytes:
    from urllib.request import Request, urlopen

    request = Request(address, headers={"User-Agent": "autopipe"})
    try:
        with urlopen(request, timeout=_TIMEOUT) as answer:
            content: bytes = answer.read()
    except OSError as error:
        raise ImageFileError(f"{address} can't be fetched: {error}") from error
    return content


def make_image_grid(images: list[Image], rows: int, cols: int, resize: int | None = None) -> Image:
    """One picture with `images` in `rows` and `cols`, row by row, in cells of the first one's size.

    Args:
        resize: make every picture a square of so many pixels first.

    Raises:
        ArgumentError: the number of images is not `rows * cols`, or is zero.
    """
    import PIL.Image

    if len(images) != rows * cols or not images:
        raise ArgumentError(
            f"a grid of {rows} x {cols} holds {rows * cols} images, and there are {len(images)}; "
            f"change rows and cols to fit"
        )
    if resize is not None:
        images = [image.resize((resize, resize)) for image in images]
    width, height = images[0].size
    grid = PIL.Image.new("RGB", (cols * width, rows * height))
    for number, image in enumerate(images):
        row, column = divmod(number, cols)
        grid.paste(image, (column * width, row * height))
    return grid


def numpy_to_pil(images: np.ndarray) -> list[Image]:
    """Pictures of an array (N, H, W, C) or (H, W, C) in [0, 1]; C = 1 gives mode L."""
    import PIL.Image

    batch = images[None] if images.ndim == 3 else images
    pixels = (batch * 255).round().astype("uint8")
    return [PIL.Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one) for one in pixels]


def pt_to_pil(images: Tensor) -> list[Image]:
    """Pictures of a tensor (N, C, H, W) in [-1, 1]; what is outside is clipped."""
    unit = (images / 2 + 0.5).clamp(0, 1)
    return numpy_to_pil(unit.cpu().permute(0, 2, 3, 1).float().numpy())
