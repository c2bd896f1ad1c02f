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

from .image_steps import StableDiffusionXLImageSteps
from .prompt import Prompts
from .sizes import Size, Sizes
from .steps import Result, returned


class StableDiffusionXLImg2ImgPipeline(StableDiffusionXLImageSteps, Image2Image):
    """Image to image with Stable Diffusion XL, and the second half of a base + refiner chain."""

    @pipeline_call
    def __call__(  # type: ignore[override]  # prompt_2 comes before image
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        strength: float = 0.3,
        num_inference_steps: int = 50,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        denoising_start: float | None = None,
        denoising_end: float | None = None,
        guidance_scale: float = 5.0,
        negative_prompt: Prompt | None = None,
        negative_prompt_2: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        guidance_rescale: float = 0.0,
        original_size: Size | None = None,
        crops_coords_top_left: Size = (0, 0),
        target_size: Size | None = None,
        negative_original_size: Size | None = None,
        negative_crops_coords_top_left: Size = (0, 0),
        negative_target_size: Size | None = None,
        aesthetic_score: float = 6.0,
        negative_aesthetic_score: float = 2.5,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
    ) -> Result:
        """Change `image` towards what `prompt` says.

        All parameters that are not named here are those of `StableDiffusionXLPipeline`.

        Args:
            image: where to start: PIL, array or tensor, or a list; or latents (N, 4, h, w). One
                for each prompt, or fewer, which are then repeated.
            strength: from 0 to 1: which part of the steps is taken; 1 ignores the image. Not used
                with `denoising_start`.
            denoising_start: `image` is what another model left, given as latents, when it had
                removed this part of the noise, in (0, 1); no noise is put on it.
            latents: (B, 4, h, w), noised already, in place of those of `image`.
            negative_original_size, negative_target_size: each is the positive one if absent.
            negative_crops_coords_top_left: used by U-Nets that take a score.
            aesthetic_score, negative_aesthetic_score: how good the image is to look, and what to
                keep away from, for U-Nets that take a score.

        Returns:
            `StableDiffusionXLPipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used. Nothing was computed.
        """
        # 1. Check everything that can be checked
        prompts = Prompts(
            prompt=prompt,
            prompt_2=prompt_2,
            negative_prompt=negative_prompt,
            negative_prompt_2=negative_prompt_2,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            pooled_prompt_embeds=pooled_prompt_embeds,
            negative_pooled_prompt_embeds=negative_pooled_prompt_embeds,
        )
        sizes = Sizes(
            original_size=original_size,
            crops_coords_top_left=crops_coords_top_left,
            target_size=target_size,
            negative_original_size=negative_original_size,
            negative_crops_coords_top_left=negative_crops_coords_top_left,
            negative_target_size=negative_target_size,
            aesthetic_score=aesthetic_score,
            negative_aesthetic_score=negative_aesthetic_score,
        )
        batch_size = self._start_call(
            prompts.check(),
            num_images_per_prompt=num_images_per_prompt,
            generator=generator,
            guidance_scale=guidance_scale,
            guidance_rescale=guidance_rescale,
            clip_skip=clip_skip,
            cross_attention_kwargs=cross_attention_kwargs,
            output_type=output_type,
            ip_adapter_image=ip_adapter_image,
            ip_adapter_image_embeds=ip_adapter_image_embeds,
        )
        self._set_denoising(denoising_start, denoising_end)
        self._check_conditions(prompts, sizes)
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

        # 2. Lay out the steps, and keep those that are left
        schedule = self._lay_out(
            num_inference_steps=num_inference_steps,
            timesteps=timesteps,
            sigmas=sigmas,
            strength=strength,
        )

        # 3. Make pixels of the image
        pixels = self._pixels_of(image)
        check_spread(pixels, batch_size, "images")
        height, width = self._size_in_pixels(pixels if latents is None else latents)

        # 4. Encode prompt and sizes
        tensors = self._condition(
            prompts,
            sizes,
            height=height,
            width=width,
            num_images_per_prompt=num_images_per_prompt,
        )

        # 5. Encode the image and put noise on it, unless it is another model's
        if latents is None:
            latents = encode_start(
                self._codec,
                pixels,
                batch_size=batch_size,
                generator=generator,
                dtype=tensors["prompt_embeds"].dtype,
                device=self._execution_device,
            )
            if denoising_start is None:
                latents = add_noise(
                    self.scheduler, latents, timestep=schedule.timesteps[0], generator=generator
                )
        tensors["latents"] = latents.to(tensors["prompt_embeds"])

        # 6. Denoise
        denoised = self._denoise(
            tensors,
            self._predictor(tensors),
            self._until_end(schedule),
            reports,
            eta=eta,
            generator=generator,
        )

        # 7. Decode the images
        return returned(self._decode(denoised, output_type), return_dict)
