"""Inpainting: what a mask marks becomes what a prompt says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Inpaint
from autopipe_components.images.kinds import ImageInput
from autopipe_components.stages.canvas import prepare_canvas
from autopipe_components.stages.checks import (
    Prompt,
    check_image,
    check_mask,
    check_mask_crop,
    check_paste,
    check_steps,
    check_strength,
    check_tensor,
)
from autopipe_components.stages.codec import Generators, check_spread
from autopipe_components.stages.inpaint import network_sees_mask, start_inpainting
from autopipe_components.stages.reports import OlderCallback, step_reports
from autopipe_components.stages.text2image import check_latents
from autopipe_components.stages.timesteps import check_any_left

from .image_steps import StableDiffusionXLImageSteps
from .prompt import Prompts
from .sizes import Size, Sizes
from .steps import Result, returned


class StableDiffusionXLInpaintPipeline(StableDiffusionXLImageSteps, Inpaint):
    """Inpainting with Stable Diffusion XL, by U-Nets that see the mask or don't."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *StableDiffusionXLImageSteps._callback_tensor_inputs,
        "mask",
        "masked_image_latents",
    )
    _guidance_scale = 7.5

    @pipeline_call
    def __call__(  # type: ignore[override]  # prompt_2 comes before image
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        mask_image: ImageInput = None,  # type: ignore[assignment]
        masked_image_latents: Tensor | None = None,
        height: int | None = None,
        width: int | None = None,
        padding_mask_crop: int | None = None,
        strength: float = 0.9999,
        num_inference_steps: int = 50,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        denoising_start: float | None = None,
        denoising_end: float | None = None,
        guidance_scale: float = 7.5,
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
        paste_unmasked: bool = False,
    ) -> Result:
        """Repaint what `mask_image` marks white with what `prompt` says.

        All parameters that are not named here are those of `StableDiffusionXLImg2ImgPipeline`.

        Args:
            image: PIL, array or tensor, or a list; or latents (N, 4, h, w). One for each prompt,
                or fewer, which are then repeated.
            mask_image: of the same kinds; 0.5 and above is repainted.
            masked_image_latents: the image without its masked part, encoded already.
            height, width: in pixels, multiples of 8; the image is resized to them. The size that
                the U-Net was trained for if absent.
            padding_mask_crop: repaint only the mask's surroundings, with at least so many pixels
                around it, at full size, and put it back. PIL images only.
            strength: from 0 to 1: which part of the steps is taken; only exactly 1 starts from
                pure noise. Not used with `denoising_start`.
            latents: unit noise (B, 4, h, w) to use instead of drawing it.
            paste_unmasked: put the unmasked pixels of the image back exactly. Without it they
                differ a little, since they were encoded and decoded.

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
        default_height, default_width = self._default_size()
        height, width = height or default_height, width or default_width
        self._check_size(height, width)
        check_image(image)
        check_mask(image, mask_image)
        check_mask_crop(padding_mask_crop, image, mask_image, output_type)
        check_tensor("masked_image_latents", masked_image_latents)
        check_strength(strength)
        check_steps(num_inference_steps, timesteps, sigmas)
        network_sees_mask(self.unet.config.in_channels, self._codec.channels)
        if latents is not None:
            check_latents(latents, self._latent_shape(batch_size, height, width))
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
        check_any_left(schedule)

        # 3. Make pixels of image and mask, or of their part around the mask
        canvas = prepare_canvas(
            image,
            mask_image,
            height=height,
            width=width,
            image_processor=self.image_processor,
            mask_processor=self.mask_processor,
            padding_mask_crop=padding_mask_crop,
        )
        check_spread(canvas.pixels, batch_size, "images")
        check_spread(canvas.mask, batch_size, "masks")
        check_paste(paste_unmasked, canvas.pixels, output_type)
        height, width = self._size_in_pixels(canvas.pixels)

        # 4. Encode prompt and sizes
        tensors = self._condition(
            prompts,
            sizes,
            height=height,
            width=width,
            num_images_per_prompt=num_images_per_prompt,
        )

        # 5. Encode the image, draw the noise, and mix them, unless it is another model's
        start = start_inpainting(
            self._codec,
            self.scheduler,
            image=canvas.pixels,
            mask=canvas.mask,
            timestep=schedule.timesteps[0],
            strength=strength,
            batch_size=batch_size,
            in_channels=self.unet.config.in_channels,
            dtype=tensors["prompt_embeds"].dtype,
            device=self._execution_device,
            generator=generator,
            latents=latents,
            masked_image_latents=masked_image_latents,
            guided=self.do_classifier_free_guidance,
            noised=denoising_start is None,
        )

        # 6. Denoise, keeping what is outside the mask
        denoised = self._repaint(
            tensors, start, self._until_end(schedule), reports, eta=eta, generator=generator
        )

        # 7. Decode the images, and put a cropped part back
        finish = canvas.paste_unmasked if paste_unmasked else None
        return returned(canvas.put_back(self._decode(denoised, output_type, finish)), return_dict)
