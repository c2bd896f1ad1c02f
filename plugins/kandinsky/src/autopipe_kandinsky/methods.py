"""Methods of priors and decoders for programs with their own denoising loop.

The calls of the classes use these methods where possible.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autopipe.pipeline.base import DiffusionPipeline
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.text2image import start_from_noise
from autopipe_components.steps.timesteps import keep_tail


class NoiseMethods(DiffusionPipeline):
    """Methods of pipelines that start from noise."""

    def prepare_latents(
        self,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Generators,
        latents: Tensor | None,
        scheduler: Any,
    ) -> Tensor:
        """Return noise of `shape` with the initial standard deviation of `scheduler`.

        Args:
            latents: unit noise; by default it is sampled.

        Raises:
            ArgumentError: if latents or generators don't fit `shape`.
        """
        return start_from_noise(
            tuple(shape),
            generator=generator,
            dtype=dtype,
            device=device,
            init_noise_sigma=scheduler.init_noise_sigma,
            latents=latents,
        )


class StrengthMethods(DiffusionPipeline):
    """Methods of pipelines that start from an image, at a later timestep."""

    def get_timesteps(
        self, num_inference_steps: int, strength: float, device: torch.device | str | None = None
    ) -> tuple[Tensor, int]:
        """Return the last timesteps of the current schedule, and their number of steps.

        Args:
            num_inference_steps: the number of steps of the whole schedule.
            strength: the part of the steps to take from the end, in [0, 1].
            device: ignored; keeps its place in the signature.

        Raises:
            ArgumentError: if no step remains.
        """
        schedule = keep_tail(self.scheduler, steps=num_inference_steps, strength=strength)
        return schedule.timesteps, schedule.steps
