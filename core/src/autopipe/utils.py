"""Small helpers for images, for programs that use pipelines."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .errors import ArgumentError, ArgumentTypeError, ImageFileError
from .regular import opened
from .wording import cut, error_text, listed, shown

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

__path__: list[str] = []
"""Empty: modules below this one come from packages."""


def __getattr__(name: str) -> object:
    """Return a name of a package's `Module("utils", ...)`."""
    from .registry import default_registry
    from .resolution.submodules import attribute_of

    entry = None if name.startswith("__") else default_registry().of("module").get("utils")
    if entry is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return attribute_of(entry.target, name)


_TIMEOUT = 60.0
"""Seconds to wait for the next data from a server."""

_LARGEST = 1 << 28
"""The largest image file, in bytes."""


def load_image(
    image: str | Path | Image, convert_method: Callable[[Image], Image] | None = None
) -> Image:
    """Return an image from a file, a URL or a PIL image, upright (by its EXIF data) and in RGB.

    Args:
        image: a path, an `http(s)://` URL, or a PIL image.
        convert_method: applied instead of the conversion to RGB.

    Raises:
        ImageFileError: if the file doesn't exist, the URL can't be fetched, or the content is not
            an image.
        ArgumentTypeError: if `image` is of another type.
        ArgumentError: if its pixels can't be scaled to 8 bits; see `eight_bits`.
    """
    import PIL.Image
    import PIL.ImageOps

    if isinstance(image, (str, Path)):
        picture = _open(image)
    elif isinstance(image, PIL.Image.Image):
        picture = image
    else:
        raise ArgumentTypeError(
            f"load_image takes a path, a URL or a PIL image, not {type(image).__name__}"
        )
    try:
        upright = PIL.ImageOps.exif_transpose(picture)
    except Exception as error:  # PIL loads lazily: the file may be damaged
        raise ImageFileError(f"the image can't be read: {_cause(error)}") from error
    return in_mode(upright, "RGB") if convert_method is None else convert_method(upright)


def eight_bits(picture: Image, name: str = "the image") -> Image:
    """Return `picture`, scaled to 8-bit grey if its pixels have more than 8 bits.

    PIL would clip such pixels, which turns most of these images white. The scale depends on the
    mode: 16-bit modes are divided by 257. In mode I, a maximum of up to 255 means 8 bits, and of
    up to 65535 means 16 bits. In mode F, a maximum of up to 1 means [0, 1], and above 2 and up to
    255 means 8 bits.

    Args:
        name: the caller's name for the image, for the message.

    Raises:
        ArgumentError: if a value is negative or not a number, or the maximum is not in one of
            these ranges.
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
    """Return `picture` in `mode`, `"RGB"` or `"L"`; images of more than 8 bits are scaled.

    Raises:
        ArgumentError: as for `eight_bits`, or if its mode can't be converted.
    """
    picture = eight_bits(picture)
    if picture.mode in ("La", "RGBa"):
        # Premultiplied alpha, which PIL converts only to RGBA and LA.
        picture = picture.convert(picture.mode.upper())
    try:
        return picture.convert(mode)
    except ValueError:
        raise ArgumentError(
            f"an image of mode {picture.mode} can't be converted to {mode}; give one in RGB or L"
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
            f"there is no file {shown(str(source))}; give the path of an image, or a URL that "
            f"begins with http:// or https://"
        ) from None
    except Exception as error:  # PIL's readers raise many kinds of exceptions
        raise ImageFileError(
            f"{shown(str(source))} can't be read as an image: {_cause(error)}"
        ) from error
    return picture


def _cause(error: Exception) -> str:
    import PIL

    if isinstance(error, PIL.UnidentifiedImageError):  # Its text is the repr of an object.
        return "Pillow doesn't know its format"
    return cut(error_text(error) or type(error).__name__, 200)


def _stream(source: str | Path) -> BinaryIO:
    is_address = isinstance(source, str) and source.lower().startswith(("http://", "https://"))
    return io.BytesIO(_fetch(str(source))) if is_address else opened(source, _LARGEST)


def _fetch(address: str) -> bytes:
    """Return the content of a URL. Redirects are followed, but not to `file:` URLs."""
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
        # Quote characters that are not allowed in a URL, as browsers do, but not a second time.
        requested = request.Request(
            quote(address, safe="%/:?#[]@!$&'()*+,;=~"), headers={"User-Agent": "autopipe"}
        )
        with opener.open(requested, timeout=_TIMEOUT) as answer:
            while block := answer.read1(1 << 20):
                content += block
                if len(content) > _LARGEST:
                    raise OSError(f"it is larger than the limit of {_LARGEST:,} bytes")
                if time.monotonic() > until:
                    raise TimeoutError(f"it took longer than {10 * _TIMEOUT:.0f} seconds")
            if answer.length:
                raise OSError(f"{answer.length:,} bytes are missing")
    except (OSError, ValueError, HTTPException) as error:
        raise ImageFileError(f"{shown(address)} can't be fetched: {_cause(error)}") from error
    return bytes(content)


def make_image_grid(images: list[Image], rows: int, cols: int, resize: int | None = None) -> Image:
    """Return one image with `images` in a grid, row by row, in cells of the first image's size.

    Args:
        resize: resize every image to a square of this many pixels first.

    Raises:
        ArgumentTypeError: if `images` are not PIL images.
        ArgumentError: if the number of images is not `rows * cols`, or is zero.
    """
    import PIL.Image

    if not all(isinstance(one, PIL.Image.Image) for one in images):
        kinds = {type(one).__name__: None for one in images}
        raise ArgumentTypeError(f"a grid takes PIL images, not {listed(kinds)}")
    if len(images) != rows * cols or not images:
        raise ArgumentError(
            f"a grid of {rows} x {cols} takes {rows * cols} images, not {len(images)}; change rows "
            f"and cols to fit"
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
    """Return PIL images of an array (N, H, W, C) or (H, W, C) in [0, 1]; C = 1 gives mode L."""
    import PIL.Image

    batch = images[None] if images.ndim == 3 else images
    pixels = (batch * 255).round().astype("uint8")
    return [PIL.Image.fromarray(one[..., 0] if one.shape[-1] == 1 else one) for one in pixels]


def pt_to_pil(images: Tensor) -> list[Image]:
    """Return PIL images of a tensor (N, C, H, W) in [-1, 1]; values outside are clipped."""
    unit = (images / 2 + 0.5).clamp(0, 1)
    return numpy_to_pil(unit.cpu().permute(0, 2, 3, 1).float().numpy())
