"""Image to image with Stable Diffusion in the onnx layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Image2Image
from autopipe_components.images.kinds import ImageInput
from autopipe_components.latent import LatentImage2Image
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import TEXTS, checks_of
from autopipe_components.steps.timesteps import Schedule
from autopipe_stable_diffusion.output import Result

from .steps import OnnxStableDiffusionSteps, Randomness


class OnnxStableDiffusionImg2ImgPipeline(
    OnnxStableDiffusionSteps, LatentImage2Image[Result], Image2Image
):
    """Image to image with Stable Diffusion 1.x and 2.x, run by ONNX Runtime.

    As in diffusers, a scheduler with `steps_offset` begins that many steps later than the noise of
    the image says.
    """

    _noised_at: Tensor

    check_inputs = checks_of("prompt callback_steps", TEXTS)

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        strength: float = 0.8,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Randomness = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        *,
        latents: Tensor | None = None,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Change `image` towards `prompt`.

        All other parameters are those of `OnnxStableDiffusionPipeline`.

        Args:
            image, strength, latents: as for `StableDiffusionImg2ImgPipeline`.

        Returns:
            `StableDiffusionPipelineOutput`, or the tuple of its two values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

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
        of_torch = add_noise and self._noise is None
        latents = super().prepare_latents(
            image, noised_at, batch_size, num_images_per_prompt, dtype, device, generator, of_torch
        )
        noise = self.numpy_noise(tuple(latents.shape)) if add_noise else None
        if noise is None:
            return latents
        return self.scheduler.add_noise(latents, noise.to(latents), noised_at)
