"""What families share that denoise an autoencoder's latents with a U-Net.

These steps come on top of those that `guided` has for any U-Net.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors

from .guided import Condition, GuidedPipeline
from .image_processor import VaeImageProcessor, mask_processor
from .images.kinds import ImageInput
from .stages.checks import check_guidance, check_size
from .stages.codec import Generators, VaeCodec, are_latents
from .stages.guidance import guide
from .stages.inpaint import Inpainting
from .stages.reports import Reports
from .stages.timesteps import Schedule


class LatentPipeline(GuidedPipeline):
    """The steps of a call that latent families share; see the families for their components."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "prompt_embeds")
    _upcasts_vae: ClassVar[bool] = False
    """Whether the family heeds `force_upcast` of its autoencoder."""

    vae: Any

    _guidance_rescale: float = 0.0
    _clip_skip: int | None = None

    @cached_property
    def vae_scale_factor(self) -> int:
        """Pixels per latent cell, along each axis."""
        return 8 if self.vae is None else self._codec.factor

    @cached_property
    def image_processor(self) -> VaeImageProcessor:
        """Makes tensors of images, and images of tensors."""
        # Converted to RGB, since a fourth channel would make latents of a transparent image.
        return VaeImageProcessor(vae_scale_factor=self.vae_scale_factor, do_convert_rgb=True)

    @cached_property
    def mask_processor(self) -> VaeImageProcessor:
        """Makes masks of images: one channel, 0 or 1."""
        return mask_processor(self.vae_scale_factor)

    # What a call set; a callback may change it

    @property
    def guidance_rescale(self) -> float:
        """How far guidance keeps the deviation of the conditional prediction, in [0, 1]."""
        return self._guidance_rescale

    @property
    def clip_skip(self) -> int | None:
        """How many last layers of the text encoder are left out."""
        return self._clip_skip

    # Memory of the autoencoder

    def enable_vae_slicing(self) -> None:
        """Decode and encode one image at a time: less memory for batches."""
        self.vae.enable_slicing()

    def disable_vae_slicing(self) -> None:
        """Undo `enable_vae_slicing`."""
        self.vae.disable_slicing()

    def enable_vae_tiling(self) -> None:
        """Decode and encode in overlapping tiles: less memory for large images."""
        self.vae.enable_tiling()

    def disable_vae_tiling(self) -> None:
        """Undo `enable_vae_tiling`."""
        self.vae.disable_tiling()

    # Steps of a call, in their order

    @property
    def _codec(self) -> VaeCodec:
        return VaeCodec(self.vae, upcasts=self._upcasts_vae)

    def _default_size(self) -> tuple[int, int]:
        """Height and width in pixels that the U-Net was trained for."""
        height, width = self._sample_size()
        return height * self.vae_scale_factor, width * self.vae_scale_factor

    def _latent_shape(self, batch_size: int, height: int, width: int) -> tuple[int, ...]:
        factor = self.vae_scale_factor
        return (batch_size, self._codec.channels, height // factor, width // factor)

    def _pixels_of(self, image: ImageInput) -> Tensor:
        """The image to start from as the autoencoder takes it, or latents as they are."""
        return self.image_processor.preprocess(image)

    def _check_size(self, height: int, width: int) -> None:
        """Refuse a height or width in pixels that text to image can't make."""
        check_size(height, width)

    def _size_in_pixels(self, image: Tensor) -> tuple[int, int]:
        """Height and width of what latents show, given them, or pixels to be encoded."""
        factor = self.vae_scale_factor
        height, width = image.shape[-2:]
        if are_latents(self._codec, image):
            return height * factor, width * factor
        return height - height % factor, width - width % factor

    def _start_call(
        self,
        prompts: int,
        *,
        num_images_per_prompt: int,
        generator: Generators,
        guidance_scale: float,
        guidance_rescale: float,
        clip_skip: int | None,
        cross_attention_kwargs: dict[str, Any] | None,
        output_type: str | None,
        ip_adapter_image: Any,
        ip_adapter_image_embeds: Any,
    ) -> int:
        """`_open_call`, with what the latent families take besides."""
        if ip_adapter_image is not None or ip_adapter_image_embeds is not None:
            raise ArgumentError("IP-Adapter images are not supported yet; leave them out")
        check_guidance(guidance_scale, guidance_rescale)
        self._guidance_rescale = guidance_rescale
        self._clip_skip = clip_skip
        return self._open_call(
            prompts,
            num_images_per_prompt=num_images_per_prompt,
            generator=generator,
            guidance_scale=guidance_scale,
            cross_attention_kwargs=cross_attention_kwargs,
            output_type=output_type,
        )

    def _guide(self, prediction: Tensor) -> Tensor:
        return guide(prediction, self.guidance_scale, rescale=self.guidance_rescale)

    def _repaint(
        self,
        tensors: Tensors,
        start: Inpainting,
        schedule: Schedule,
        reports: Reports,
        *,
        eta: float,
        generator: Generators,
        condition: Condition | None = None,
    ) -> Tensor:
        """Denoise from `start`, keeping what is outside the mask."""
        tensors["latents"] = start.latents
        tensors["mask"] = start.mask
        tensors["masked_image_latents"] = start.masked_image_latents

        def inpainting() -> Inpainting:
            """With mask and masked image as they are now: a callback may have changed them."""
            masked = tensors["masked_image_latents"]
            return replace(start, mask=tensors["mask"], masked_image_latents=masked)

        return self._denoise(
            tensors,
            self._predictor(tensors, lambda: inpainting().extra_channels(), condition),
            schedule,
            reports,
            eta=eta,
            generator=generator,
            keep=lambda step, timestep, after: inpainting().keep(
                self.scheduler, schedule.timesteps, step, after
            ),
        )
