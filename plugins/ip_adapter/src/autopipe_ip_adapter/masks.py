"""Masks of image prompts, which limit each of them to a part of the picture."""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError
from autopipe.wording import shown
from autopipe_components.image_processor import VaeImageProcessor


class IPAdapterMaskProcessor(VaeImageProcessor):
    """Converts masks to tensors (N, 1, H, W), 1 where an image prompt acts.

    Args:
        do_resize: resize masks to multiples of `vae_scale_factor`, or to a given size.
        vae_scale_factor: pixels per latent cell.
        resample: the filter for PIL images.
        do_normalize: scale to [-1, 1]; not for masks.
        do_binarize: round each value to 0 or 1.
        do_convert_grayscale: convert to one channel.
    """

    @register_to_config
    def __init__(
        self,
        do_resize: bool = True,
        vae_scale_factor: int = 8,
        resample: str = "lanczos",
        do_normalize: bool = False,
        do_binarize: bool = True,
        do_convert_grayscale: bool = True,
    ) -> None:
        super().__init__(
            do_resize=do_resize,
            vae_scale_factor=vae_scale_factor,
            resample=resample,
            do_normalize=do_normalize,
            do_binarize=do_binarize,
            do_convert_grayscale=do_convert_grayscale,
        )

    @staticmethod
    def downsample(mask: Tensor, batch_size: int, num_queries: int, value_embed_dim: int) -> Tensor:
        """Return a mask (1, H, W) for attention, (batch_size, num_queries, value_embed_dim).

        Args:
            num_queries: the number of pixels of the attention layer, in the proportions of the
                mask; if they are others, the last pixels are cut off, or get 0.
        """
        pixels = as_queries(mask, num_queries)
        return pixels.expand(max(batch_size, len(pixels)), -1, value_embed_dim)


def as_queries(mask: Tensor, count: int) -> Tensor:
    """Return masks (N, H, W) as weights (N, count, 1) of the queries of an attention layer.

    The layer's height and width follow from the proportions of the mask. If these aren't those of
    the picture, the last pixels are cut off, or get 0.
    """
    height, width = mask.shape[-2:]
    rows = max(int(math.sqrt(count / (width / height))), 1)
    rows += count % rows != 0
    resized = F.interpolate(mask[:, None], size=(rows, max(count // rows, 1)), mode="bicubic")
    flat = resized.flatten(1)[:, :count]
    return F.pad(flat, (0, count - flat.shape[1]))[..., None]


def check_masks(masks: Any, images: list[int]) -> list[Tensor | None]:
    """Return masks as a list with one entry per IP-Adapter: None, or (images, H, W).

    Args:
        masks: a list with None or a tensor (1, images, H, W) for each adapter, or a tensor
            (adapters, 1, H, W).
        images: the number of images of each adapter.

    Raises:
        ArgumentError: if the number of masks doesn't fit, or a shape.
    """
    given = list(masks[:, None]) if isinstance(masks, Tensor) and masks.ndim == 4 else masks
    if not isinstance(given, (list, tuple)) or len(given) != len(images):
        found = len(given) if isinstance(given, (list, tuple)) else shown(masks)
        raise ArgumentError(
            f"ip_adapter_masks is {found}, but there are {len(images)} IP-Adapters; give a list "
            f"with a mask, (1, images, height, width), or None for each of them"
        )
    for i, (mask, count) in enumerate(zip(given, images)):
        if mask is None:
            continue
        if not isinstance(mask, Tensor) or mask.ndim != 4 or mask.shape[:2] != (1, count):
            raise ArgumentError(
                f"ip_adapter_masks[{i}] is {shown(mask)}, but this IP-Adapter has {count} images; "
                f"give a tensor (1, {count}, height, width), of what IPAdapterMaskProcessor makes"
            )
    return [None if mask is None else mask[0] for mask in given]
