"""Noise from one Brownian path, so that a schedule of more steps sees the same noise.

Li et al. 2020, "Scalable Gradients for Stochastic Differential Equations" (arXiv:2001.01328).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from autopipe.errors import MissingPackageError, SchedulerError

TOLERANCE = 1e-6
"""The length of intervals within which a path is not refined."""

HIGHEST = 1e6
"""The highest noise level at which float64 tells intervals of that length apart by far."""


def torchsde(owner: object) -> Any:
    """Return the package torchsde.

    Raises:
        MissingPackageError: if it is not installed.
    """
    try:
        import torchsde as package  # an extra, and slow to import
    except ImportError as error:
        raise MissingPackageError(
            f"{type(owner).__name__} draws its noise with the package torchsde, which is not "
            "installed. Run: pip install torchsde, or use DPMSolverMultistepScheduler with "
            'algorithm_type="sde-dpmsolver++"'
        ) from error
    return package


class BrownianNoise:
    """Standard normal noise for steps between two noise levels, from a path over all levels.

    Args:
        owner: the scheduler, for messages.
        like: a tensor with the shape, device and dtype of the noise, (B, ...).
        lowest, highest: the noise levels at the ends of the path.
        seed: the seed of one path for the batch, or a list with one for each sample.

    Raises:
        SchedulerError: if `lowest` is not above 0, or `highest` is below it or above `HIGHEST`.
    """

    def __init__(
        self, owner: object, like: Tensor, lowest: float, highest: float, seed: int | list[int]
    ) -> None:
        if not 0 < lowest <= highest <= HIGHEST:
            raise SchedulerError(
                f"{type(owner).__name__} has noise levels from {lowest:g} to {highest:g}; a "
                f"Brownian path needs levels above 0 and of at most {HIGHEST:g}"
            )
        self.batched = isinstance(seed, list)
        seeds = seed if isinstance(seed, list) else [seed]
        start = torch.zeros_like(like[0] if self.batched else like)
        ends = [torch.as_tensor(level) for level in (lowest, highest)]
        self.paths = [
            torchsde(owner).BrownianInterval(
                t0=ends[0],
                t1=ends[1],
                size=start.shape,
                dtype=start.dtype,
                device=start.device,
                entropy=one,
                tol=TOLERANCE,
                pool_size=24,
                halfway_tree=True,
            )
            for one in seeds
        ]

    def __call__(self, sigma: Tensor, following: Tensor) -> Tensor:
        """Return the noise of a step from `sigma` down to `following`, zero-dimensional tensors."""
        drawn = torch.stack([path(following, sigma) for path in self.paths])
        noise: Tensor = -(drawn if self.batched else drawn[0]) / (sigma - following).sqrt()
        return noise


def drawn_seed(generator: Generator | None) -> int:
    """Return a seed from `generator`, by default the global one."""
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(0, 2**63 - 1, [], generator=generator, device=device).item())
