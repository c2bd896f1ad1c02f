"""Prepares initial latents: noise, or those of an image with noise added, also under a mask.

The tasks call these methods, and so do programs with their own loop. Names and parameters are those
of diffusers.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

from autopipe.errors import ArgumentError

from ..steps.codec import Generators, encode_images, tile
from ..steps.guidance import double
from ..steps.image2image import add_noise as noised
from ..steps.image2image import encode_start
from ..steps.inpaint import mask_to_latents
from ..steps.text2image import unit_noise
from .steps import LatentPipeline

_Result = TypeVar("_Result")


class StartsFromNoise(LatentPipeline[_Result]):
    """Base class that prepares the initial latents of text to image."""

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
        """Return initial latents (`batch_size`, `num_channels_latents`, h, w).

        They are unit noise times `scheduler.init_noise_sigma`.

        Args:
            height, width: the image size in pixels.
            latents: unit noise to use instead of drawing it.

        Raises:
            ArgumentError: if `generator` is a list whose length is not the batch size.
        """
        noise = unit_noise(
            _shape(self, batch_size, num_channels_latents, height, width),
            generator=generator,
            dtype=dtype,
            device=device,
        ) if latents is None else latents.to(device=device, dtype=dtype)  # fmt: skip
        first: Tensor = noise * self.scheduler.init_noise_sigma
        return first


class _EncodesImages(LatentPipeline[_Result]):
    def _encode_vae_image(self, image: Tensor, generator: Generators) -> Tensor:
        """Return the scaled latents of `image`; latents are returned unchanged."""
        return encode_images(self.codec, image, generator)


class StartsFromImage(_EncodesImages[_Result]):
    """Base class that prepares the initial latents of image to image."""

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
        """Return the latents (B, C, h, w) of `image` with the noise of `timestep` added.

        Args:
            image: pixels (N, 3, H, W) in [-1, 1], or latents (N, C, h, w); N divides B.
            timestep: one value, or one for each of the B latents.
            batch_size: the number of prompts; B is that times `num_images_per_prompt`.
            add_noise: False returns the clean latents.

        Raises:
            ArgumentError: if the number of images or generators doesn't match the batch.
        """
        latents = encode_start(
            self.codec,
            image,
            batch_size=batch_size * num_images_per_prompt,
            generator=generator,
            dtype=dtype,
            device=device,
            repeats_first=self.encodes_each,
        )
        if not add_noise:
            return latents
        return noised(self.scheduler, latents, timestep=timestep, generator=generator)


class StartsFromMask(_EncodesImages[_Result]):
    """Base class that prepares the initial latents of inpainting, for programs.

    The task itself calls `start_inpainting`.
    """

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
        image: Tensor | None = None,
        timestep: Tensor | None = None,
        is_strength_max: bool = True,
        return_noise: bool = False,
        return_image_latents: bool = False,
        *,
        add_noise: bool = True,
    ) -> tuple[Tensor, ...]:
        """Return the initial latents and, on request, the noise and the clean latents of `image`.

        Args:
            height, width: the image size in pixels.
            latents: unit noise to use instead of drawing it.
            image: pixels (N, 3, H, W) in [-1, 1], or latents; N divides the batch size.
            timestep: the first timestep of the call.
            is_strength_max: whether to start from pure noise instead of the image with noise added.
            return_noise, return_image_latents: what to return after the initial latents.
            add_noise: False starts from the clean image.

        Raises:
            ArgumentError: if `image` or `timestep` is None and needed, or the number of images,
                latents or generators doesn't match the batch.
        """
        if not is_strength_max and (image is None or timestep is None):
            raise ArgumentError(
                "latents that start from the image need image= and timestep=; give both, or "
                "is_strength_max=True"
            )
        clean = None
        if return_image_latents or not add_noise or (latents is None and not is_strength_max):
            if image is None:
                raise ArgumentError("the latents of the image need image=; give it as a tensor")
            clean = self._encode_vae_image(image.to(device=device, dtype=dtype), generator)
            clean = tile(clean, batch_size, "images")
        given, noise = latents is not None, latents
        if noise is None or not add_noise:
            shape = _shape(self, batch_size, num_channels_latents, height, width)
            noise = unit_noise(shape, generator=generator, dtype=dtype, device=device)
        noise = noise.to(device=device, dtype=dtype)
        if not add_noise:
            assert clean is not None
            first = clean
        elif given or is_strength_max:
            first = noise * self.scheduler.init_noise_sigma
        else:
            assert timestep is not None
            first = self.scheduler.add_noise(clean, noise, timestep.flatten())
        further = (return_noise and noise, return_image_latents and clean)
        return (first, *(one for one in further if isinstance(one, Tensor)))

    def prepare_mask_latents(
        self,
        mask: Tensor,
        masked_image: Tensor | None,
        batch_size: int,
        height: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Generators,
        do_classifier_free_guidance: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Return mask and masked image at the size of the latents, for the whole batch.

        Args:
            mask: (M, 1, H, W); M divides the batch size.
            masked_image: pixels (N, 3, H, W) in [-1, 1], or latents, or None.
            height, width: the image size in pixels.
            do_classifier_free_guidance: whether to double both.

        Raises:
            ArgumentError: if the number of masks, images or generators doesn't match the batch.
        """
        factor = self.vae_scale_factor
        size = (int(height) // factor, int(width) // factor)
        small = mask_to_latents(mask, size, batch_size=batch_size, dtype=dtype, device=device)
        masked = masked_image
        if masked is not None:
            masked = self._encode_vae_image(masked.to(device=device, dtype=dtype), generator)
            masked = tile(masked, batch_size, "masked images")
        if not do_classifier_free_guidance:
            return small, masked
        return double(small), None if masked is None else double(masked)


def _shape(pipe: Any, batch_size: int, channels: int, height: int, width: int) -> tuple[int, ...]:
    factor = pipe.vae_scale_factor
    return (batch_size, channels, int(height) // factor, int(width) // factor)
