"""Functions for programs with their own loop, under the names of diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.scheduling import SchedulerMixin

from .steps.guidance import rescale_guided
from .steps.timesteps import set_schedule


def retrieve_timesteps(
    scheduler: SchedulerMixin,
    num_inference_steps: int | None = None,
    device: torch.device | str | None = None,
    timesteps: Sequence[int] | None = None,
    sigmas: Sequence[float] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, int]:
    """Set the timesteps of the scheduler, and return them with the number of steps.

    Args:
        timesteps, sigmas: a custom schedule, for schedulers that take one.
        **kwargs: further arguments of `scheduler.set_timesteps`.

    Raises:
        ArgumentError: if `timesteps` and `sigmas` are both given, or none of `num_inference_steps`,
            `timesteps` and `sigmas` is given.
        SchedulerError: if the scheduler doesn't take custom values of that kind.
    """
    schedule = set_schedule(
        scheduler,
        num_inference_steps=num_inference_steps,
        device=device,
        timesteps=timesteps,
        sigmas=sigmas,
        **kwargs,
    )
    return schedule.timesteps, schedule.steps


def retrieve_latents(
    encoder_output: Any, generator: torch.Generator | None = None, sample_mode: str = "sample"
) -> Tensor:
    """Return the unscaled latents in the output of an autoencoder's `encode`.

    Args:
        generator: the source of noise for a sample of the posterior.
        sample_mode: `"sample"`, or `"argmax"` for the mode of the posterior.

    Raises:
        ArgumentTypeError: if `encoder_output` has no latents.
        ArgumentError: if `sample_mode` is unknown.
    """
    posterior = getattr(encoder_output, "latent_dist", None)
    latents: Tensor | None = getattr(encoder_output, "latents", None)
    if posterior is None and latents is None:
        raise ArgumentTypeError(
            f"retrieve_latents got a {type(encoder_output).__name__} without latents; give what "
            f"encode of an autoencoder returned"
        )
    if posterior is None:
        assert latents is not None
        return latents
    if sample_mode not in ("sample", "argmax"):
        raise ArgumentError(f'sample_mode is {sample_mode!r}; give "sample" or "argmax"')
    sample = sample_mode == "sample"
    drawn: Tensor = posterior.sample(generator) if sample else posterior.mode()
    return drawn


def rescale_noise_cfg(
    noise_cfg: Tensor, noise_pred_text: Tensor, guidance_rescale: float = 0.0
) -> Tensor:
    """Rescale `noise_cfg` towards the standard deviation of `noise_pred_text`."""
    return rescale_guided(noise_cfg, noise_pred_text, guidance_rescale)
