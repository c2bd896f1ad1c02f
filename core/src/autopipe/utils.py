"""Small helpers for pictures that programs around a pipeline use."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .errors import ArgumentError, ArgumentTypeError, ImageFileError
from .regular import opened
from .wording import cut, listed, said, shown

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

_TIMEOUT = 60.0
"""Seconds to wait for a server to go on."""

_LARGEST = 1 << 28
"""Bytes of the file of a picture."""


def load_image(
    image: str | Path | Image, convert_method: Callable[[Image], Image] | None = None
) -> Image:
    """A picture from a file, from an `http(s)://` address, or as it is; upright, in RGB.

    Args:
        image: a path, an address, or a PIL image.
        convert_method: applied instead of the conversion to RGB.

    Raises:
        ImageFileError: there is no such file, the address gives none, or it is not a picture.
        ArgumentTypeError: `image` is something else.
        ArgumentError: its pixels can't be brought to 8 bits; see `eight_bits`.
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
    try:
        upright = PIL.ImageOps.exif_transpose(picture)
    except Exception as error:  # the file of a picture that is not loaded yet may be damaged
        raise ImageFileError(f"a picture can't be read: {_cause(error)}") from error
    return in_mode(upright, "RGB") if convert_method is None else convert_method(upright)


def eight_bits(picture: Image, name: str = "the picture") -> Image:
    """`picture`, and if its pixels have more than 8 bits, what it shows in 8 bits of grey.

    PIL itself would clip them, which leaves most of such pictures white. What the numbers mean is
    told by the mode: 16 bits are divided by 257. In mode I all up to 255 are taken for 8 bits, up
    to 65535 for 16; in mode F all up to 1 for parts of 1, and beyond 2 and up to 255 for 8 bits.

    Args:
        name: what the caller calls it, for the message.

    Raises:
        ArgumentError: some of the numbers are outside, or none at all.
    """
    if picture.mode not in ("I", "F") and not picture.mode.startswith("I;"):
        return picture
    import numpy as np
    import PIL.Image

    values = np.asarray(picture, dtype=np.float32)
    low, high = float(values.min()), float(values.max())
    tops = {"I": (255, 65535), "F": (1, 255)}.get(picture.mode, (65535,))
    top = next((top for top in tops if high <= top), None)
    unclear = picture.mode == "F" and 1 < high < 2
    if not low >= 0 or top is None or unclear:
        raise ArgumentError(
            f"{name} has mode {picture.mode} and values from {low:g} to {high:g}; scale them to "
            f"{' or '.join(f'[0, {top}]' for top in tops)}, or convert it to 8 bits"
        )
    return PIL.Image.fromarray((values * (255 / top)).round().astype(np.uint8))


def in_mode(picture: Image, mode: str) -> Image:
    """`picture` in `mode`, `"RGB"` or `"L"`; pictures of more than 8 bits are scaled.

    Raises:
        ArgumentError: see `eight_bits`; or its colours can't be converted.
    """
    picture = eight_bits(picture)
    if picture.mode in ("La", "RGBa"):
        # Premultiplied by their transparency, which PIL takes back in one way only.
        picture = picture.convert(picture.mode.upper())
    try:
        return picture.convert(mode)
    except ValueError:
        raise ArgumentError(
            f"a picture of mode {picture.mode} can't be converted to {mode}; give one in RGB or L"
        ) from None


def _open(source: str | Path) -> Image:
    import PIL.Image

    try:
        with _stream(source) as stream:
            picture = PIL.Image.open(stream)
            picture.load()
    except ImageFileError:
        raise
    except FileNotFoundError:
        raise ImageFileError(
            f"there is no file {shown(str(source))}; give the path of a picture, or an address "
            f"that begins with http:// or https://"
        ) from None
    except Exception as error:  # what PIL's readers raise is of many kinds
        raise ImageFileError(
            f"{shown(str(source))} can't be read as a picture: {_cause(error)}"
        ) from error
    return picture


def _cause(error: Exception) -> str:
    import PIL

    if isinstance(error, PIL.UnidentifiedImageError):  # Its text shows a Python object.
        return "Pillow doesn't know its format"
    return cut(said(error) or type(error).__name__, 200)


def _stream(source: str | Path) -> BinaryIO:
    is_address = isinstance(source, str) and source.lower().startswith(("http://", "https://"))
    return io.BytesIO(_fetch(str(source))) if is_address else opened(source, _LARGEST)


def _fetch(address: str) -> bytes:
    """What a server sends for an address. Servers may lead to another address, but to no file."""
    from http.client import HTTPException
    from urllib import request
    from urllib.parse import quote

    opener = request.OpenerDirector()
    for kind in (
        *(request.ProxyHandler, request.HTTPHandler, request.HTTPSHandler, request.UnknownHandler),
        *(request.HTTPRedirectHandler, request.HTTPDefaultErrorHandler, request.HTTPErrorProcessor),
    ):
        opener.add_handler(kind())
    content, until = bytearray(), time.monotonic() + 10 * _TIMEOUT
    try:
        # As browsers do, what may not stand in an address is quoted, and nothing twice.
        asked = request.Request(
            quote(address, safe="%/:?#[]@!$&'()*+,;=~"), headers={"User-Agent": "autopipe"}
        )
        with opener.open(asked, timeout=_TIMEOUT) as answer:
            while block := answer.read1(1 << 20):
                content += block
                if len(content) > _LARGEST:
                    raise OSError(f"it has more than {_LARGEST:,} bytes, and no picture has")
                if time.monotonic() > until:
                    raise TimeoutError(f"it takes longer than {10 * _TIMEOUT:.0f} seconds")
            if answer.length:
                raise OSError(f"{answer.length:,} bytes of it are missing")
    except (OSError, ValueError, HTTPException) as error:
        raise ImageFileError(f"{shown(address)} can't be fetched: {_cause(error)}") from error
    return bytes(content)


def make_image_grid(images: list[Image], rows: int, cols: int, resize: int | None = None) -> Image:
    """One picture with `images` in `rows` and `cols`, row by row, in cells of the first one's size.

    Args:
        resize: make every picture a square of so many pixels first.

    Raises:
        ArgumentTypeError: they are not PIL images.
        ArgumentError: the number of images is not `rows * cols`, or is zero.
    """
    import PIL.Image

    if not all(isinstance(one, PIL.Image.Image) for one in images):
        kinds = {type(one).__name__: None for one in images}
        raise ArgumentTypeError(f"a grid is made of PIL images, not of a {listed(kinds)}")
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
