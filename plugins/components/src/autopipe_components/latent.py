"""What families share that denoise an autoencoder's latents with a U-Net.

A task's `__call__` puts these steps around those of its family; nothing here knows a task's
signature, and nothing a model's name. A condition adds to the prediction from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.loop import Tensors, accepted_options, denoise

from .image_processor import VaeImageProcessor
from .images.kinds import ImageInput
from .networks.conditioning import check_cross_attention_kwargs
from .stages.checks import (
    check_generators,
    check_guidance,
    check_images_per_prompt,
    check_output_type,
    check_size,
)
from .stages.codec import Generators, VaeCodec, are_latents
from .stages.guidance import double, embed_scale, guide
from .stages.inpaint import Inpainting
from .stages.reports import Reports
from .stages.timesteps import Schedule

Predict: TypeAlias = Callable[[int, Tensor], Tensor]
"""`(step, timestep) -> prediction`, as the denoising loop takes it."""

Condition: TypeAlias = Callable[[int, Tensor, Tensor, Mapping[str, Any]], Mapping[str, Any]]
"""`(step, sample, timestep, inputs) -> further inputs` of the U-Net, such as residuals.

`sample` are the latents as the U-Net sees them, scaled and under guidance doubled, without
further channels; `inputs` are what the family gives the U-Net besides.
"""


class LatentPipeline(DiffusionPipeline):
    """The steps of a call that latent families share; see the families for their components."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "prompt_embeds")
    _upcasts_vae: ClassVar[bool] = False
    """Whether the family heeds `force_upcast` of its autoencoder."""

    vae: Any
    unet: Any

    _guidance_scale: float = 1.0
    _guidance_rescale: float = 0.0
    _clip_skip: int | None = None
    _cross_attention_kwargs: dict[str, Any] | None = None

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
        return VaeImageProcessor(
            vae_scale_factor=self.vae_scale_factor,
            do_normalize=False,
            do_binarize=True,
            do_convert_grayscale=True,
        )

    # What a call set; a callback may change it

    @property
    def guidance_scale(self) -> float:
        """How closely the prompt is followed; guidance is off at 1 and below."""
        return self._guidance_scale

    @property
    def guidance_rescale(self) -> float:
        """How far guidance keeps the deviation of the conditional prediction, in [0, 1]."""
        return self._guidance_rescale

    @property
    def clip_skip(self) -> int | None:
        """How many last layers of the text encoder are left out."""
        return self._clip_skip

    @property
    def cross_attention_kwargs(self) -> dict[str, Any] | None:
        """What the U-Net's attention gets."""
        return self._cross_attention_kwargs

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether each step predicts with and without the prompt."""
        return self._guidance_scale > 1 and self.unet.config.time_cond_proj_dim is None

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
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
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
        """Check what every call takes, set the state of the call, and return the batch size.

        The batch is `prompts`, a number, times `num_images_per_prompt`.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used.
        """
        if ip_adapter_image is not None or ip_adapter_image_embeds is not None:
            raise ArgumentError("IP-Adapter images are not supported yet; leave them out")
        check_images_per_prompt(num_images_per_prompt)
        check_output_type(output_type)
        check_guidance(guidance_scale, guidance_rescale)
        check_cross_attention_kwargs(cross_attention_kwargs)
        self._guidance_scale = guidance_scale
        self._guidance_rescale = guidance_rescale
        self._clip_skip = clip_skip
        self._cross_attention_kwargs = cross_attention_kwargs
        batch_size = prompts * num_images_per_prompt
        check_generators(generator, batch_size)
        return batch_size

    def _unet_inputs(self, tensors: Tensors) -> dict[str, Any]:
        """What the U-Net gets besides sample and timestep, from `tensors` as they are now."""
        return {"encoder_hidden_states": tensors["prompt_embeds"]}

    def _predictor(
        self,
        tensors: Tensors,
        extra_channels: Callable[[], Sequence[Tensor]] = tuple,
        condition: Condition | None = None,
    ) -> Predict:
        """The guided prediction of a step, from what `tensors` hold in that step.

        Args:
            extra_channels: what the U-Net sees after the latents, each (B or 2B, C, h, w).
            condition: what else it gets; see `Condition`.
        """
        scale_embedding = self._embed_guidance_scale(tensors["latents"])

        def predict(step: int, timestep: Tensor) -> Tensor:
            guided = self.do_classifier_free_guidance
            sample = self.scheduler.scale_model_input(tensors["latents"], timestep)
            sample = double(sample) if guided else sample
            inputs = self._unet_inputs(tensors)
            if condition is not None:
                inputs.update(condition(step, sample, timestep, inputs))
            extra = [one[-len(sample) :] for one in extra_channels()]
            prediction = self.unet(
                torch.cat([sample, *extra], dim=1) if extra else sample,
                timestep,
                timestep_cond=scale_embedding,
                cross_attention_kwargs=self.cross_attention_kwargs,
                return_dict=False,
                **inputs,
            )[0]
            if not guided:
                return prediction
            return guide(prediction, self.guidance_scale, rescale=self.guidance_rescale)

        return predict

    def _embed_guidance_scale(self, latents: Tensor) -> Tensor | None:
        """The guidance scale (B, D) as a U-Net takes it that was distilled on it; else None."""
        dim = self.unet.config.time_cond_proj_dim
        if dim is None:
            return None
        embedded = embed_scale(self.guidance_scale, len(latents), dim, dtype=latents.dtype)
        return embedded.to(latents.device)

    def _denoise(
        self,
        tensors: Tensors,
        predict: Predict,
        schedule: Schedule,
        reports: Reports,
        *,
        eta: float,
        generator: Generators,
        keep: Callable[[int, Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Walk the schedule; the arguments are those of the core's loop."""
        return denoise(
            self,
            tensors,
            predict,
            timesteps=schedule.timesteps,
            steps=schedule.steps,
            step_options=accepted_options(self.scheduler, eta=eta, generator=generator),
            keep=keep,
            **reports,
        )

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
