"""Image to image with Stable Diffusion in the onnx layout."""

from __future__ import annotations

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.image2image import encode_start
from autopipe_components.steps.timesteps import Schedule
from autopipe_stable_diffusion.image2image import StableDiffusionImg2ImgPipeline

from .steps import OnnxStableDiffusionSteps


class OnnxStableDiffusionImg2ImgPipeline(OnnxStableDiffusionSteps, StableDiffusionImg2ImgPipeline):
    """Image to image with Stable Diffusion 1.x and 2.x, run by ONNX Runtime.

    As in diffusers, a scheduler with `steps_offset` begins that many steps later than the noise of
    the image says.
    """

    _noised_at: Tensor

    def trim_start(self, schedule: Schedule) -> Schedule:
        steps, offset = schedule.steps, int(self.scheduler.config.get("steps_offset") or 0)
        kept = min(int(steps * self.call.strength) + offset, steps)
        begin = max(steps - kept + offset, 0)
        if kept < 1 or begin >= len(schedule.timesteps):
            raise ArgumentError(
                f"strength={self.call.strength} with {steps} steps leaves nothing to do; raise "
                f"strength or num_inference_steps"
            )
        self._noised_at = schedule.timesteps[-kept]
        return Schedule(schedule.timesteps[begin:], steps - begin)

    def prepare_latents(
        self,
        image: Tensor,
        timestep: Tensor,
        batch_size: int,
        num_images_per_prompt: int,
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Generators = None,
        add_noise: bool = True,
    ) -> Tensor:
        noised_at = self._noised_at.repeat(batch_size * num_images_per_prompt)
        if self._noise is None:
            return super().prepare_latents(
                image,
                noised_at,
                batch_size,
                num_images_per_prompt,
                dtype,
                device,
                generator,
                add_noise,
            )
        latents = encode_start(
            self.codec,
            image,
            batch_size=batch_size * num_images_per_prompt,
            dtype=dtype,
            device=device,
        )
        noise = self.numpy_noise(tuple(latents.shape))
        assert noise is not None
        return self.scheduler.add_noise(latents, noise.to(latents), noised_at)
