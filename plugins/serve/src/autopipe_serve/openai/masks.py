"""Masks of OpenAI's API, which are the inverse of those of pipelines."""

from __future__ import annotations

import io
from pathlib import Path

import PIL.Image

from autopipe.utils import in_mode

from ..errors import Refusal
from .answers import size_text


def mask_of(mask: Path, picture: Path) -> bytes:
    """Return a mask as pipelines take it, a grey PNG: white is repainted, black is kept.

    Args:
        mask: the client's mask; what is fully transparent in it is repainted.
        picture: the picture that it belongs to.

    Raises:
        Refusal: if the mask has no transparency, or another size than the picture.
    """
    with PIL.Image.open(picture) as one:
        size = one.size
    with PIL.Image.open(mask) as one:
        if one.size != size:
            raise Refusal(
                400,
                f"the mask has {size_text(one.size)} pixels, and the picture {size_text(size)}; "
                f"make both the same size",
                param="mask",
            )
        if not one.has_transparency_data:
            raise Refusal(
                400,
                "the mask has no transparency, by which it says what is repainted; save it as a "
                "PNG whose transparent parts are to be repainted",
                param="mask",
            )
        alpha = in_mode(one, "RGBA").getchannel("A")
    file = io.BytesIO()
    alpha.point([255, *[0] * 255]).save(file, "PNG")
    return file.getvalue()
