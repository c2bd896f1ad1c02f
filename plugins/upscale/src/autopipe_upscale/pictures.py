"""What the pipelines that enlarge have in common: the picture, and a prompt to spare."""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from autopipe_components.image_processor import VaeImageProcessor
from autopipe_components.images.kinds import count_of
from autopipe_components.latent import LatentBesideImage, LatentPipeline
from autopipe_components.noise import randn_tensor
from autopipe_components.steps.checks import check_image
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.text2image import check_latents

_Result = TypeVar("_Result")


class BesidePicture(LatentBesideImage[_Result]):
    """Base class for latents of the size of the picture, which joins them as it is."""

    def size_beside(self, pixels: Tensor) -> tuple[int, int]:
        height, width = pixels.shape[-2:]
        return height * self.vae_scale_factor, width * self.vae_scale_factor

    def channels_beside(self, pixels: Tensor) -> int:
        return pixels.shape[1]


class Enlarging(LatentPipeline[Any]):
    """Mixin for pipelines that enlarge a picture and take a prompt."""

    @cached_property
    def image_processor(self) -> VaeImageProcessor:
        """The processor that converts images to tensors and back."""
        return VaeImageProcessor(
            vae_scale_factor=self.vae_scale_factor,
            vae_latent_channels=self.codec.channels,
            resample="bicubic",
            do_convert_rgb=True,
        )

    def begin_call(self) -> int:
        """Check the arguments; a call without a prompt enlarges each picture without a text."""
        call = self.call
        if call.prompt is None and call.prompt_embeds is None:
            check_image(call.image)
            count = count_of(call.image)
            self.call = call.replace(prompt=[""] * count if count > 1 else "")
        return super().begin_call()

    def prepare_latents(
        self,
        batch_size: int,
        num_channels_latents: int,
        height: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Generators,
        latents: Tensor | None = None,
    ) -> Tensor:
        """Return initial latents (`batch_size`, `num_channels_latents`, `height`, `width`).

        They are unit noise times `scheduler.init_noise_sigma`.

        Args:
            height, width: the size of the latents, not of the pictures.
            latents: unit noise to use instead of drawing it.

        Raises:
            ArgumentError: if `latents` have another shape.
        """
        shape = (batch_size, num_channels_latents, height, width)
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=device, dtype=dtype)
        check_latents(latents, shape)
        first: Tensor = latents.to(device) * self.scheduler.init_noise_sigma
        return first
