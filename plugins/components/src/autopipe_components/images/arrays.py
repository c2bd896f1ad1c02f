"""Pixels between PIL, numpy and torch, and between the ranges [0, 1] and [-1, 1]."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from autopipe.errors import ArgumentError

Pixels = TypeVar("Pixels", np.ndarray, Tensor)


def pil_to_numpy(images: list[Image.Image] | Image.Image) -> np.ndarray:
    """(N, H, W, C), or (N, H, W) of grey images; float32 in [0, 1].

    Raises:
        ArgumentError: the images have several sizes or modes.
    """
    images = images if isinstance(images, list) else [images]
    if len({(image.size, len(image.getbands())) for image in images}) > 1:
        raise ArgumentError(
            "the images of a list have several sizes or numbers of channels; make them alike"
        )
    return np.stack([np.asarray(image) for image in images]).astype(np.float32) / 255.0


def numpy_to_pt(images: np.ndarray) -> Tensor:
    """(N, H, W, C) or (N, H, W) -> (N, C, H, W), sharing memory."""
    if images.ndim == 3:
        images = images[..., None]
    return torch.from_numpy(images.transpose(0, 3, 1, 2))


def pt_to_numpy(images: Tensor) -> np.ndarray:
    """(N, C, H, W) -> (N, H, W, C), float32."""
    array: np.ndarray = images.cpu().permute(0, 2, 3, 1).float().numpy()
    return array


def normalize(images: Pixels) -> Pixels:
    """[0, 1] -> [-1, 1]."""
    return 2.0 * images - 1.0


def denormalize(images: Pixels) -> Pixels:
    """[-1, 1] -> [0, 1]; what is outside is clipped."""
    return (images * 0.5 + 0.5).clip(0, 1)


def batch_arrays(images: list[np.ndarray]) -> Tensor:
    """(H, W), (H, W, C) or (N, H, W, C) each -> (N, C, H, W)."""
    joined = np.concatenate(images) if images[0].ndim == 4 else np.stack(_one_shape(images))
    return _unit_floats(numpy_to_pt(joined))


def batch_tensors(images: list[Tensor]) -> Tensor:
    """(H, W), (C, H, W) or (N, C, H, W) each -> (N, C, H, W)."""
    joined = torch.cat(images) if images[0].ndim == 4 else torch.stack(_one_shape(images))
    return _unit_floats(joined.unsqueeze(1) if joined.ndim == 3 else joined)


_Sized = TypeVar("_Sized", np.ndarray, Tensor)


def _one_shape(images: list[_Sized]) -> list[_Sized]:
    shapes = sorted({tuple(image.shape) for image in images})
    if len(shapes) > 1:
        raise ArgumentError(f"the images of a list have shapes {shapes}; make them one shape")
    return images


def _unit_floats(images: Tensor) -> Tensor:
    """`images` as floating point; whole numbers may only be those of a mask, 0 and 1."""
    if images.is_floating_point():
        return images
    if images.dtype != torch.bool and int(images.max()) > 1:
        raise ArgumentError(
            f"an image of {images.dtype} holds values up to {int(images.max())}; give floats in "
            f"[0, 1] (divide by 255), or a PIL image"
        )
    return images.to(torch.float32)
