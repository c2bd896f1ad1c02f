"""Checks and converts the input images of a call."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from autopipe.errors import ArgumentError, ArgumentTypeError
from PIL.Image import Image
from torch import Tensor

Images: TypeAlias = "Image | list[Image]"


def check_images(name: str, given: Any, count: int) -> None:
    """Check that `given` is an image, or a list of `count` images.

    Raises:
        ArgumentTypeError: if it is anything else.
        ArgumentError: if the number or the sizes of the images don't fit.
    """
    images = given if isinstance(given, list) else [given]
    if not images or not all(isinstance(image, Image) for image in images):
        raise ArgumentTypeError(f"{name} is a {type(given).__name__}; give a PIL image, or a list")
    if len(images) not in (1, count):
        raise ArgumentError(f"{name} has {len(images)} images for {count} pictures")
    if len({image.size for image in images}) > 1:
        raise ArgumentError(f"the images of {name} differ in size")


def check_strength(strength: Any) -> None:
    """Raise `ArgumentError` if `strength` is not a number in [0, 1]."""
    if not isinstance(strength, (int, float)) or not 0 <= strength <= 1:
        raise ArgumentError(f"strength is {strength!r}; give a number in [0, 1]")


def pixels(given: Images, count: int) -> Tensor:
    """(`count`, 3, H, W) in [-1, 1]."""
    return _tensor(given, "RGB", count) * 2 - 1


def marked(given: Images, count: int) -> Tensor:
    """(`count`, 1, H, W): 1 where a mask is white, 0 elsewhere."""
    return (_tensor(given, "L", count) > 0.5).float()


def _tensor(given: Images, mode: str, count: int) -> Tensor:
    images = given if isinstance(given, list) else [given]
    arrays = [np.atleast_3d(np.asarray(image.convert(mode), np.float32)) for image in images]
    found = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255
    return found.expand(count, -1, -1, -1)
