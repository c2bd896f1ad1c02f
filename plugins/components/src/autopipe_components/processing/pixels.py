"""Images as arrays of pixels, resized and cropped as CLIP was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import shown

Pixels: TypeAlias = np.ndarray
"""The pixels (C, H, W) of an image."""

_CHANNELS = (1, 3, 4)
_LAST = "channels_last"


def pixels_of(images: Any, rgb: bool, layout: str | None) -> Iterator[Pixels]:
    """Yield the pixels of each image.

    Args:
        images: an image, an array or tensor of several, or a list of such.
        rgb: whether to give all of them three channels.
        layout: `"channels_first"` or `"channels_last"`; None to tell by the number of channels.

    Raises:
        ArgumentTypeError: if these are not images.
        ArgumentError: if an array has another number of axes or channels.
    """
    if isinstance(images, (list, tuple)):
        for one in images:
            yield from pixels_of(one, rgb, layout)
    elif isinstance(images, Image.Image):
        yield _of_pil(images, rgb)
    elif isinstance(images, (np.ndarray, torch.Tensor)):
        plain = images.detach().cpu().numpy() if isinstance(images, torch.Tensor) else images
        if plain.ndim not in (3, 4):
            raise ArgumentError(
                f"an image must have 3 axes, or 4 with several images, not the shape {plain.shape}"
            )
        for pixels in plain if plain.ndim == 4 else [plain]:
            channels = _channels_first(pixels, layout)
            yield _in_rgb(channels) if rgb else channels
    else:
        raise ArgumentTypeError(
            f"an image must be a PIL image, an array or a tensor, not {shown(images)}"
        )


def _of_pil(image: Image.Image, rgb: bool) -> Pixels:
    if rgb and ("A" in image.getbands() or image.info.get("transparency") is not None):
        white = Image.new("RGBA", image.size, (255,) * 4)
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return _first(np.array(image.convert("RGB") if rgb else image))


def _first(pixels: Pixels) -> Pixels:
    """Return (H, W) or (H, W, C) with the channels in front."""
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _channels_first(pixels: Pixels, layout: str | None) -> Pixels:
    if layout is None:
        if pixels.shape[0] in _CHANNELS:
            return pixels
        if pixels.shape[-1] not in _CHANNELS:
            raise ArgumentError(
                f"an image must have 1, 3 or 4 channels, in front or at the end, not the shape "
                f"{pixels.shape}"
            )
        layout = _LAST
    return np.moveaxis(pixels, -1, 0) if layout == _LAST else pixels


def _in_rgb(pixels: Pixels) -> Pixels:
    """Return three channels: grey is repeated, and what is transparent lies on white."""
    if len(pixels) == 1:
        return np.repeat(pixels, 3, axis=0)
    if len(pixels) != 4:
        return pixels
    whole = pixels.dtype.kind in "iu"
    if not whole and (pixels.min() < 0 or pixels.max() > 1):
        raise ArgumentError("an image of floats with transparency must be in [0, 1]")
    white = 255 if whole else 1.0
    alpha = pixels[3:] / white
    mixed: Pixels = alpha * pixels[:3] + (1 - alpha) * white
    return (np.round(mixed) if whole else mixed).astype(pixels.dtype)


def resized(pixels: Pixels, size: Mapping[str, int], resample: Image.Resampling) -> Pixels:
    """Resize by PIL, which has 8 bits: of floats in [0, 1] the lower of 256 levels is taken."""
    scale = _is_in_unit(pixels)
    if scale:
        pixels = (pixels.astype(np.float64) * 255).astype(np.float32)
    levels = np.moveaxis(pixels.astype(np.uint8), 0, -1)
    image = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
    height, width = _target(pixels.shape[1:], size)
    found = _first(np.array(image.resize((width, height), resample)))
    return (found.astype(np.float64) * (1 / 255)).astype(np.float32) if scale else found


def _is_in_unit(pixels: Pixels) -> bool:
    """Whether values are in [0, 1] instead of whole numbers in [0, 255]."""
    if pixels.dtype == np.uint8:
        return False
    whole = bool(np.allclose(pixels, pixels.astype(int)))
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > (255 if whole else 1):
        raise ArgumentError(
            f"an image has values from {low} to {high}; give whole numbers in [0, 255], or floats "
            f"in [0, 1] with do_rescale=False"
        )
    return not whole


def _target(shape: tuple[int, ...], size: Mapping[str, int]) -> tuple[int, int]:
    """Return the height and width to which `size` resizes an image."""
    height, width = shape
    if "shortest_edge" in size:
        short, longest = size["shortest_edge"], size.get("longest_edge")
        return _by_shortest(height, width, short, longest)
    if "max_height" in size:
        scale = min(size["max_height"] / height, size["max_width"] / width)
        return int(height * scale), int(width * scale)
    return size["height"], size["width"]


def _by_shortest(height: int, width: int, short: int, longest: int | None) -> tuple[int, int]:
    low, high = sorted((height, width))
    exact: float = short
    if longest is not None and high / low * short > longest:
        exact = longest * low / high
        short = round(exact)
    other = high if low == short else int(exact * high / low)
    return (short, other) if height <= width else (other, short)


def centre(pixels: Pixels, size: Mapping[str, int]) -> Pixels:
    """Return the middle of an image in `size`, with zeros around it where it is smaller."""
    for axis, side in ((1, size["height"]), (2, size["width"])):
        excess = pixels.shape[axis] - side
        if excess >= 0:
            start = excess // 2
            pixels = pixels.take(range(start, start + side), axis)
        else:
            margins = [(0, 0)] * 3
            margins[axis] = (-excess + 1) // 2, -excess // 2
            pixels = np.pad(pixels, margins)
    return pixels


def padded(images: list[Pixels], size: Mapping[str, int] | None) -> list[Pixels]:
    """Return images of one size, with zeros at the right and the bottom.

    Raises:
        ArgumentError: if an image is larger than `size`.
    """
    height = size["height"] if size else max(one.shape[1] for one in images)
    width = size["width"] if size else max(one.shape[2] for one in images)
    if any(one.shape[1] > height or one.shape[2] > width for one in images):
        raise ArgumentError(f"an image is larger than pad_size, {height} x {width}; resize it")
    return [
        np.pad(one, ((0, 0), (0, height - one.shape[1]), (0, width - one.shape[2])))
        for one in images
    ]
