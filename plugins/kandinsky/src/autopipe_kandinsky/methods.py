"""Methods of priors and decoders that programs with a loop of their own call.

The calls of the classes take these steps themselves where they can.
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
    """What starts from noise."""

    def prepare_latents(
        self,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Generators,
        latents: Tensor | None,
        scheduler: Any,
    ) -> Tensor:
        """Noise of `shape` with the deviation of `scheduler`.

        Args:
            latents: unit noise to use instead of drawing.

        Raises:
            ArgumentError: latents or generators don't fit `shape`.
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
    """What starts from an image, part way along the schedule."""

    def get_timesteps(
        self, num_inference_steps: int, strength: float, device: torch.device | str | None = None
    ) -> tuple[Tensor, int]:
        """The timesteps that an image leaves of the schedule that is set, and how many steps.

        Args:
            num_inference_steps: of the whole schedule.
            strength: from 0 to 1: the part that is taken, from the end.
            device: accepted for its place in the signature; timesteps are where they were set.

        Raises:
            ArgumentError: no step is left.
        """
        schedule = keep_tail(self.scheduler, steps=num_inference_steps, strength=strength)
        return schedule.timesteps, schedule.steps
