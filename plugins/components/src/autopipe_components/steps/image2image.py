"""Image to image: the loop starts from the latents of an image with noise added."""

from __future__ import annotations

import torch
from torch import Tensor

from autopipe.scheduling import SchedulerMixin

from ..noise import randn_tensor
from .checks import check_generators
from .codec import Codec, Generators, encode_images, tile


def encode_start(
    codec: Codec,
    image: Tensor,
    *,
    batch_size: int,
    generator: Generators = None,
    dtype: torch.dtype,
    device: torch.device | str,
    repeats_first: bool = True,
) -> Tensor:
    """Return the clean latents (B, C, h, w) of `image`.

    A single generator draws for the given images, and the latents are repeated. With a list of
    generators the images are repeated first, and generator i draws for image i.

    Args:
        image: pixels (N, 3, H, W) in [-1, 1], or latents; N divides `batch_size`.
        repeats_first: if False, a list of generators doesn't differ: the first N draw for the given
            images, and the latents are repeated.

    Raises:
        ArgumentError: if the number of images or generators doesn't match the batch.
    """
    check_generators(generator, batch_size)
    image = image.to(device=device, dtype=dtype)
    if repeats_first and isinstance(generator, (list, tuple)):
        image = tile(image, batch_size, "images")
    return tile(encode_images(codec, image, generator), batch_size, "images")


def add_noise(
    scheduler: SchedulerMixin,
    latents: Tensor,
    *,
    timestep: Tensor,
    generator: Generators = None,
) -> Tensor:
    """Return `latents` (B, ...) with new noise added, at the level of `timestep`.

    Args:
        timestep: one value, or one for each of the B latents.

    Raises:
        ArgumentError: if `generator` is a list whose length is not B.
    """
    check_generators(generator, len(latents))
    noise = randn_tensor(
        tuple(latents.shape), generator=generator, device=latents.device, dtype=latents.dtype
    )
    return scheduler.add_noise(latents, noise, timestep.flatten().expand(len(latents)))
