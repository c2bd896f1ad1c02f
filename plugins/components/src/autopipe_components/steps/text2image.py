"""Text to image: latents start as pure noise."""

from __future__ import annotations

import torch
from torch import Tensor

from autopipe.errors import ArgumentError

from ..noise import randn_tensor
from .checks import check_generators, check_tensor
from .codec import Generators


def start_from_noise(
    shape: tuple[int, ...],
    *,
    generator: Generators = None,
    dtype: torch.dtype,
    device: torch.device | str,
    init_noise_sigma: float | Tensor,
    latents: Tensor | None = None,
) -> Tensor:
    """The first latents: unit noise of `shape` (B, C, h, w), times the scheduler's deviation.

    Args:
        latents: the caller's own unit noise, used instead of drawing.

    Raises:
        ArgumentError: a list of generators, or the latents given, don't fit `shape`.
    """
    noise = unit_noise(shape, generator=generator, dtype=dtype, device=device, given=latents)
    return noise * init_noise_sigma


def unit_noise(
    shape: tuple[int, ...],
    *,
    generator: Generators,
    dtype: torch.dtype,
    device: torch.device | str,
    given: Tensor | None = None,
) -> Tensor:
    """Noise of `shape` and unit variance: drawn, or the caller's own.

    Raises:
        ArgumentError: as `start_from_noise`.
    """
    check_generators(generator, shape[0])
    if given is None:
        return randn_tensor(shape, generator=generator, device=device, dtype=dtype)
    check_latents(given, shape)
    return given.to(device=device, dtype=dtype)


def check_latents(latents: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse latents of another shape than (batch, channels, height, width) of this call.

    Raises:
        ArgumentTypeError: they are not a tensor.
        ArgumentError: the shapes differ.
    """
    check_tensor("latents", latents)
    if tuple(latents.shape) != tuple(shape):
        raise ArgumentError(
            f"latents have shape {tuple(latents.shape)} and this call needs {tuple(shape)} "
            f"(batch, channels, height, width); change them, or height, width and the prompts"
        )
