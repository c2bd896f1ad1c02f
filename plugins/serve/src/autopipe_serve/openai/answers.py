"""The answers of the images API."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image

from autopipe_requests.pictures import save_image, texts_of

from .parameters import FORMATS, Order

BACKGROUND = "opaque"
"""The background of all images; they have no transparency."""

_TEXTS = ("autopipe", "parameters")


@dataclass(frozen=True)
class Encoded:
    """An image in the format of an answer.

    Attributes:
        content: the bytes of the file.
        size: width and height in pixels.
    """

    content: bytes
    size: tuple[int, int]

    @property
    def text(self) -> str:
        """The bytes in base64."""
        return base64.b64encode(self.content).decode()


def encoded(file: Path, order: Order) -> Encoded:
    """Return a written image in the format that the client asked for, with its record."""
    with PIL.Image.open(file) as image:
        size = image.size
        if FORMATS[order.format] == image.format:
            return Encoded(file.read_bytes(), size)
        texts = texts_of(file)
        kept = {name: texts[name] for name in _TEXTS if name in texts}
        return Encoded(_in_format(image, kept, order), size)


def encoded_preview(png: bytes, order: Order) -> str:
    """Return a preview in the format that the client asked for, in base64."""
    if order.format != "png":
        with PIL.Image.open(io.BytesIO(png)) as image:
            png = _in_format(image, {}, order)
    return base64.b64encode(png).decode()


def _in_format(image: PIL.Image.Image, texts: Mapping[str, str], order: Order) -> bytes:
    file = io.BytesIO()
    save_image(image, file, texts, FORMATS[order.format], order.compression)
    return file.getvalue()


def size_text(size: tuple[int, int]) -> str:
    """Return width and height as the API writes them."""
    return f"{size[0]}x{size[1]}"


def usage() -> dict[str, Any]:
    """Return the number of tokens: none, because nothing is counted in tokens here.

    Programs that compute costs from it find that an image costs nothing.
    """
    none = {"image_tokens": 0, "text_tokens": 0}
    return {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "input_tokens_details": none,
        "output_tokens_details": none,
    }


def answer_of(
    data: Sequence[Mapping[str, str]], size: tuple[int, int], order: Order
) -> dict[str, Any]:
    """Return the answer with images that were drawn.

    Args:
        data: for each image `b64_json` or `url`.
        size: their width and height in pixels.
        order: what the client asked for.
    """
    return {
        "created": int(time.time()),
        "data": list(data),
        "background": BACKGROUND,
        "output_format": order.format,
        "quality": order.quality,
        "size": size_text(size),
        "usage": usage(),
    }
