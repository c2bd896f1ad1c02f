"""Defines and checks the kinds of images: PIL images, arrays, tensors, and lists of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from PIL import Image

from autopipe.errors import ArgumentError, ArgumentTypeError, nearest
from autopipe.pipeline.values import check_dense
from autopipe.utils import eight_bits
from autopipe.wording import shown

ImageInput: TypeAlias = (
    Image.Image
    | np.ndarray
    | torch.Tensor
    | list[Image.Image]
    | list[np.ndarray]
    | list[torch.Tensor]
)
"""An image, a list of images of one kind, or an array or a tensor of several images."""
Kind: TypeAlias = Literal["pil", "np", "pt"]

OUTPUT_TYPES = ("pil", "np", "pt", "latent")

_KINDS: dict[Kind, type] = {"pil": Image.Image, "np": np.ndarray, "pt": torch.Tensor}


def as_list(images: Any) -> list[Any]:
    """Return `images` as a list; a single image becomes a list of one."""
    return list(images) if isinstance(images, (list, tuple)) else [images]


def kind_of(images: Any, name: str = "image") -> Kind:
    """Return the kind of one image or a list: PIL images, numpy arrays or torch tensors.

    Arrays and tensors must have 2 to 4 axes, and all of a list the same number.

    Raises:
        ArgumentTypeError: if `images` are something else, of several kinds, not of real numbers, or
            tensors that are not dense.
        ArgumentError: if the list or an image is empty, the number of axes is wrong, or pixels are
            not finite or have too many bits.
    """
    items = as_list(images)
    if not items:
        raise ArgumentError(f"{name} is an empty list; give at least one image")
    for kind, type_ in _KINDS.items():
        if not all(isinstance(item, type_) for item in items):
            continue
        axes = {2} if kind == "pil" else {item.ndim for item in items}
        if len(axes) > 1 or not axes <= {2, 3, 4}:
            raise ArgumentError(
                f"{name} has arrays with {sorted(axes)} axes; give all of them 2 (grey), 3 or 4 (a "
                f"batch)"
            )
        for item in items:
            _check_content(item, kind, name)
        return kind
    found = ", ".join(sorted({type(item).__name__ for item in items}))
    raise ArgumentTypeError(
        f"{name} is made of {found}; give a PIL image, a numpy array, a torch tensor, or a list "
        f"of one of these (to read a file: autopipe.utils.load_image)"
    )


def _check_content(image: Any, kind: Kind, name: str) -> None:
    """Check that an image has pixels, and that all of them are finite real numbers."""
    shape = image.size if kind == "pil" else tuple(image.shape)
    if 0 in shape:
        raise ArgumentError(f"{name} is empty: its size is {shape}; give an image with pixels")
    if kind == "pil":
        eight_bits(image, name)
    elif kind == "np":
        if image.dtype.kind not in "biuf":
            raise ArgumentTypeError(f"{name} has the dtype {image.dtype}; give integers or floats")
        check_finite(name, bool(np.isfinite(image).all()))
    else:
        check_dense(name, image)
        # Floats with 8 bits support conversion only.
        values = image.float() if image.element_size() == 1 else image
        check_finite(name, bool(values.isfinite().all()))


def check_finite(name: str, finite: bool) -> None:
    """Raise an error unless all pixels of an image are finite.

    Args:
        finite: whether all pixels are finite.

    Raises:
        ArgumentError: if `finite` is False.
    """
    if not finite:
        raise ArgumentError(f"{name} holds values that are not finite (NaN or infinity)")


def count_of(image: Any) -> int:
    """Return the number of images; arrays and tensors with 4 axes hold several."""
    return sum(len(one) if getattr(one, "ndim", 3) == 4 else 1 for one in as_list(image))


def tensor_size(images: Any) -> tuple[int, int] | None:
    """Return height and width of images given as tensors; None for all others."""
    first = as_list(images)[0]
    return (first.shape[-2], first.shape[-1]) if isinstance(first, torch.Tensor) else None


def check_output_type(output_type: str | None, allowed: Sequence[str] = OUTPUT_TYPES) -> None:
    """Check that `output_type` is one of `allowed`.

    Raises:
        ArgumentError: if `output_type` is not one of `allowed`.
    """
    if not isinstance(output_type, str) or output_type not in allowed:
        raise ArgumentError(
            f"output_type is {shown(output_type)}; give one of {', '.join(allowed)}."
            f"{nearest(output_type, allowed)}"
        )
