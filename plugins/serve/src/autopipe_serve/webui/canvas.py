"""Prepares images and masks as the web UI does, and puts what is painted back into them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image, ImageChops, ImageFilter, ImageOps

from autopipe.utils import in_mode

from ..errors import Refusal

Box: TypeAlias = tuple[int, int, int, int]
Size: TypeAlias = tuple[int, int]

_STRETCHED, _CROPPED, _FILLED, _LATENT = range(4)
"""Values of `resize_mode`: how an image gets another shape."""

FILL, ORIGINAL, NOISE, ZEROS = range(4)
"""Values of `inpainting_fill`: what is under the mask at first."""

_LANCZOS = Image.Resampling.LANCZOS


@dataclass(frozen=True)
class Canvas:
    """An image to start from, with what is left of it around the mask.

    Attributes:
        image: what the model starts from, at the size that it draws.
        mask: white where it repaints, at the same size; None without a mask.
        original: the image that the result is put into; None without a mask.
        overlay: how much of the result is seen, at the size of `original`.
        box: the part of `original` that `image` shows.
    """

    image: Image.Image
    mask: Image.Image | None = None
    original: Image.Image | None = None
    overlay: Image.Image | None = None
    box: Box | None = None

    def put_back(self, painted: Image.Image) -> Image.Image:
        """Return the original with what was painted under the mask; without one, `painted`."""
        if self.original is None or self.overlay is None or self.box is None:
            return painted
        left, top, right, bottom = self.box
        whole = self.original.copy()
        part = painted.convert("RGB").resize((right - left, bottom - top), _LANCZOS)
        whole.paste(part, (left, top))
        return Image.composite(whole, self.original, self.overlay)


def flat(image: Image.Image) -> Image.Image:
    """Return an image in RGB, on white where it is transparent."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return in_mode(image, "RGB")


def mask_of(image: Image.Image, size: Size, *, inverted: bool, blur: float) -> Image.Image:
    """Return how much of each pixel is repainted, in mode L.

    Args:
        image: white where it is repainted; if parts of it are transparent, those that aren't.
        size: the size of the image that it is for.
        inverted: whether the rest is repainted.
        blur: the radius by which edges are softened, in pixels of that image.

    Raises:
        Refusal: if nothing would be repainted.
    """
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    is_real = alpha is not None and alpha.getextrema() not in ((0, 0), (255, 255))
    values = alpha if alpha is not None and is_real else in_mode(image, "L")
    mask = values.point(lambda value: 255 if value > 127 else 0)
    mask = ImageOps.invert(mask) if inverted else mask
    mask = mask.resize(size, Image.Resampling.NEAREST)
    if mask.getbbox() is None:
        raise Refusal(
            422,
            "the mask is black everywhere, so that nothing would be repainted; make white what "
            "should be",
            param="mask",
        )
    # Half of a softened edge lies outside, and there its values are doubled: white stays white.
    return mask.filter(ImageFilter.GaussianBlur(blur)).point(lambda value: min(255, 2 * value))


def canvas_of(
    image: Image.Image,
    mask: Image.Image | None,
    size: Size,
    *,
    mode: int = _STRETCHED,
    padding: int | None = None,
    fill: int = ORIGINAL,
    seed: int = 0,
) -> Canvas:
    """Return what the model gets to repaint an image.

    Args:
        image: the image, in RGB.
        mask: what `mask_of` returns.
        size: the width and height that are drawn.
        mode: a value of `resize_mode`.
        padding: if only the surroundings of the mask are drawn, the margin in pixels; else None.
        fill: a value of `inpainting_fill`.
        seed: that of the noise of `NOISE`.
    """
    if mask is None:
        return Canvas(fitted(image, size, mode))
    if padding is None:
        image, mask = fitted(image, size, mode), fitted(mask, size, mode)
        box: Box = (0, 0, *size)
    else:
        box = _around(mask.getbbox() or (0, 0, *image.size), padding, size, image.size)
    seen, part = (one.crop(box).resize(size, _LANCZOS) for one in (image, mask))
    # Everything that is seen at all is painted, so that soft edges show new pixels on old ones.
    painted = part.point(lambda value: 255 if value else 0)
    return Canvas(_filled(seen, painted, fill, seed), painted, image, mask, box)


def fitted(image: Image.Image, size: Size, mode: int = _STRETCHED) -> Image.Image:
    """Return an image at another size: stretched, cropped, or with its edges continued."""
    if mode == _CROPPED:
        return ImageOps.fit(image, size, _LANCZOS)
    if mode != _FILLED:
        return image.resize(size, _LANCZOS)
    inner = ImageOps.contain(image, size, _LANCZOS)
    (width, height), (inside, high) = size, inner.size
    left, top = (width - inside) // 2, (height - high) // 2
    found = Image.new(image.mode, size)
    # One of the two has no bars.
    first = (0, 0, 1, high) if left else (0, 0, inside, 1)
    last = (inside - 1, 0, inside, high) if left else (0, high - 1, inside, high)
    found.paste(inner.crop(first).resize(size), (0, 0))
    half = (left + inside, 0) if left else (0, top + high)
    found.paste(inner.crop(last).resize(size), half)
    found.paste(inner, (left, top))
    return found


def _around(inner: Box, padding: int, shape: Size, image: Size) -> Box:
    """Return a box around `inner`, of the shape that is drawn as far as the image allows."""
    low = [max(0, inner[axis] - padding) for axis in (0, 1)]
    high = [min(image[axis], inner[axis + 2] + padding) for axis in (0, 1)]
    sides = [high[axis] - low[axis] for axis in (0, 1)]
    wider = sides[0] * shape[1] > sides[1] * shape[0]
    axis = 1 if wider else 0
    wanted = round(sides[1 - axis] * shape[axis] / shape[1 - axis])
    grown = min(image[axis], max(sides[axis], wanted))
    low[axis] = min(max(0, low[axis] - (grown - sides[axis]) // 2), image[axis] - grown)
    high[axis] = low[axis] + grown
    return low[0], low[1], high[0], high[1]


def _filled(image: Image.Image, mask: Image.Image, fill: int, seed: int) -> Image.Image:
    """Return an image with something else under the mask."""
    if fill == ORIGINAL:
        return image
    if fill == NOISE:
        count = 3 * image.width * image.height
        under = Image.frombytes("RGB", image.size, random.Random(seed).randbytes(count))
    elif fill == ZEROS:
        under = Image.new("RGB", image.size, (128, 128, 128))
    else:
        under = _surroundings(image, mask)
    return Image.composite(under, image, mask)


def _surroundings(image: Image.Image, mask: Image.Image) -> Image.Image:
    """Return an image in which the colors around the mask flow into it."""
    known = image.convert("RGBA")
    known.putalpha(ImageChops.invert(mask))
    if known.getchannel("A").getbbox() is None:
        return Image.new("RGB", image.size, (128, 128, 128))
    found = Image.new("RGBA", image.size, (128, 128, 128, 255))
    side = 1
    while side < min(image.size):
        # Means of known pixels only, first of the whole image and then of ever smaller parts.
        mean = known.resize((side, side), Image.Resampling.BOX)
        mean.putalpha(mean.getchannel("A").point(lambda value: 255 if value else 0))
        layer = mean.resize(image.size, Image.Resampling.BILINEAR)
        found = Image.alpha_composite(found, layer)
        side *= 2
    return found.convert("RGB")
