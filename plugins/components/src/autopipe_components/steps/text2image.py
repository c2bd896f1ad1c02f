"""Text to image: the loop starts from pure noise."""

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
    """Return the initial latents: unit noise of `shape` (B, C, h, w) times `init_noise_sigma`.

    Args:
        init_noise_sigma: the initial noise level of the scheduler.
        latents: unit noise to use instead of drawing it.

    Raises:
        ArgumentError: if the list of generators or the given latents don't match `shape`.
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
    """Return noise of `shape` with unit variance: `given`, or drawn if that is None.

    Raises:
        ArgumentError: if the list of generators or the given noise doesn't match `shape`.
    """
    check_generators(generator, shape[0])
    if given is None:
        return randn_tensor(shape, generator=generator, device=device, dtype=dtype)
    check_latents(given, shape)
    return given.to(device=device, dtype=dtype)


def check_latents(latents: Tensor, shape: tuple[int, ...]) -> None:
    """Check that `latents` have the shape that the call needs.

    Raises:
        ArgumentTypeError: if `latents` is not a tensor.
        ArgumentError: if the shapes differ.
    """
    check_tensor("latents", latents)
    if tuple(latents.shape) != tuple(shape):
        raise ArgumentError(
            f"latents have shape {tuple(latents.shape)} and this call needs {tuple(shape)} "
            f"(batch, channels, height, width); change them, or height, width and the prompts"
        )
