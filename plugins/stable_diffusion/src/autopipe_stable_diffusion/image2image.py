"""Image to image: from an image with noise on it to what a prompt says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Image2Image
from autopipe_components.images.kinds import ImageInput
from autopipe_components.stages.checks import (
    Prompt,
    check_image,
    check_network_channels,
    check_steps,
    check_strength,
    check_tensor,
)
from autopipe_components.stages.codec import Generators, check_spread
from autopipe_components.stages.image2image import add_noise, encode_start
from autopipe_components.stages.reports import OlderCallback, step_reports
from autopipe_components.stages.text2image import check_latents
from autopipe_components.stages.timesteps import keep_tail, set_schedule

from .steps import Result, StableDiffusionSteps, returned


class StableDiffusionImg2ImgPipeline(StableDiffusionSteps, Image2Image):
    """Image to image with Stable Diffusion 1.x and 2.x."""

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        strength: float = 0.8,
        num_inference_steps: int = 50,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 7.5,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        latents: Tensor | None = None,
    ) -> Result:
        """Change `image` towards what `prompt` says.

        All parameters that are not named here are those of `StableDiffusionPipeline`.

        Args:
            image: where to start: PIL, array or tensor, or a list; or latents (N, 4, h, w). One
                for each prompt, or fewer, which are then repeated.
            strength: from 0 to 1: which part of the steps is taken; 1 ignores the image.
            latents: to start from (B, C, h, w), with their noise, instead of the image.

        Returns:
            `StableDiffusionPipelineOutput`, or the tuple of its two values.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used. Nothing was computed.
        """
        # 1. Check everything that can be checked
        batch_size = self._begin(
            prompt=prompt,
            negative_prompt=negative_prompt,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            num_images_per_prompt=num_images_per_prompt,
            generator=generator,
            guidance_scale=guidance_scale,
            clip_skip=clip_skip,
            cross_attention_kwargs=cross_attention_kwargs,
            output_type=output_type,
            ip_adapter_image=ip_adapter_image,
            ip_adapter_image_embeds=ip_adapter_image_embeds,
        )
        check_image(image)
        check_strength(strength)
        check_steps(num_inference_steps, timesteps, sigmas)
        check_network_channels(self.unet.config.in_channels, self._codec.channels)
        check_tensor("latents", latents)
        if latents is not None:
            check_latents(latents, (batch_size, self._codec.channels, *latents.shape[-2:]))
        reports = step_reports(
            self,
            callback_on_step_end,
            callback_on_step_end_tensor_inputs,
            callback,
            callback_steps,
        )

        # 2. Lay out the steps, and keep the last of them
        device = self._execution_device
        schedule = set_schedule(
            self.scheduler,
            num_inference_steps=num_inference_steps,
            device=device,
            timesteps=timesteps,
            sigmas=sigmas,
        )
        schedule = keep_tail(self.scheduler, steps=schedule.steps, strength=strength)

        # 3. Make pixels of the image
        pixels = self._pixels_of(image)
        check_spread(pixels, batch_size, "images")

        # 4. Encode the prompt
        tensors = self._condition(
            prompt, negative_prompt, prompt_embeds, negative_prompt_embeds, num_images_per_prompt
        )

        # 5. Encode the image and put noise on it
        if latents is None:
            latents = encode_start(
                self._codec,
                pixels,
                batch_size=batch_size,
                generator=generator,
                dtype=tensors["prompt_embeds"].dtype,
                device=device,
            )
            latents = add_noise(
                self.scheduler, latents, timestep=schedule.timesteps[0], generator=generator
            )
        tensors["latents"] = latents.to(tensors["prompt_embeds"])

        # 6. Denoise
        denoised = self._denoise(
            tensors, self._predictor(tensors), schedule, reports, eta=eta, generator=generator
        )

        # 7. Decode and check the images
        images, flags = self._decode(denoised, output_type)
        return returned(images, flags, return_dict)
