"""What callers give to adapters: pictures, their scales, and the part of the steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from PIL import Image
from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.image_processor import VaeImageProcessor
from autopipe_components.images.kinds import ImageInput
from autopipe_components.several import numbers_for
from autopipe_components.steps.checks import check_image, check_number

from .inputs import ADAPTER_FACTOR, ADAPTER_IMAGE, ADAPTER_SCALE
from .multiadapter import MultiAdapter
from .t2iadapter import T2IAdapter

AdapterImage: TypeAlias = (
    ImageInput | list[list[Image.Image]] | list[list[np.ndarray]] | list[list[Tensor]]
)
"""The picture of an adapter: one for all prompts, or a list with one for each. Several adapters
take a list with an entry for each."""

Numbers: TypeAlias = float | Sequence[float]
"""One number for all adapters, or one for each."""


def nets_of(adapter: Any) -> list[T2IAdapter]:
    """Return the networks of an adapter, which may be several."""
    return adapter.parts if isinstance(adapter, MultiAdapter) else [adapter]


def images_for(adapter: Any, image: Any) -> list[Any]:
    """Return the pictures of each network: one, or several for the prompts of a batch.

    Raises:
        ArgumentError: if the list for several networks has the wrong length, an image is not valid,
            or its channels don't fit.
        ArgumentTypeError: if `image` has the wrong type, or is missing.
    """
    nets = nets_of(adapter)
    images = [image]
    if len(nets) > 1 and image is not None:
        if not isinstance(image, (list, tuple)) or len(image) != len(nets):
            given = len(image) if isinstance(image, (list, tuple)) else type(image).__name__
            raise ArgumentError(
                f"got {given} for the {len(nets)} networks of a MultiAdapter; give a list with an "
                f"image, or a list of images, for each"
            )
        images = list(image)
    for net, one in zip(nets, images):
        check_image(one, ADAPTER_IMAGE.name)
        pixels_of(net, one)
    return images


def pixels_of(
    net: T2IAdapter, image: Any, size: tuple[int | None, int | None] = (None, None)
) -> Tensor:
    """Return pictures as a network takes them: (N, C, H, W) in [0, 1], float32.

    PIL images and arrays become grey for networks with one channel, and colour for those with
    three. Tensors are used as they are, apart from their size.

    Args:
        size: height and width; by default those of the first picture.

    Raises:
        ArgumentError: if the number of channels is wrong.
    """
    channels = net.config.in_channels
    processor = VaeImageProcessor(
        vae_scale_factor=1,
        vae_latent_channels=0,
        do_normalize=False,
        do_convert_grayscale=channels == 1,
        do_convert_rgb=channels == 3,
    )
    pixels = processor.preprocess(image, *size).float()
    if pixels.shape[1] != channels:
        raise ArgumentError(
            f"{ADAPTER_IMAGE.name} has {pixels.shape[1]} channels, but its adapter takes "
            f"{channels}; convert the image"
        )
    return pixels


def check_scales(adapter: Any, scale: Any) -> list[float]:
    """Return the scale of each network.

    Raises:
        ArgumentError: if there are more or fewer than networks, or one is not finite.
        ArgumentTypeError: if one is not a number, or a list is given for a single network.
    """
    count = len(nets_of(adapter))
    if isinstance(scale, (list, tuple)) and count == 1:
        raise ArgumentTypeError(
            f"{ADAPTER_SCALE.name} is a list, which is for several adapters; give a number"
        )
    return list(numbers_for(ADAPTER_SCALE.name, scale, count, "adapters"))


def check_factor(factor: Any) -> None:
    """Check the part of the steps in which adapters are active.

    Raises:
        ArgumentTypeError: if it is not a number.
        ArgumentError: if it is not between 0 and 1.
    """
    check_number(ADAPTER_FACTOR.name, factor)
    if not 0 <= factor <= 1:
        raise ArgumentError(f"{ADAPTER_FACTOR.name} is {factor}; give a number from 0 to 1")
