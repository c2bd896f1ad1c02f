"""Where latents start: at noise, at an image with noise on it, or at what surrounds a mask.

The tasks begin with these methods. Programs with a loop of their own call them as well, by the
names and with the arguments that they know from diffusers.
"""

from __future__ import annotations

from typing import Any

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


class StartsFromNoise(LatentPipeline):
    """The start of text to image."""

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
        """Noise (`batch_size`, `num_channels_latents`, h, w) with the scheduler's deviation.

        Args:
            height, width: in pixels.
            latents: unit noise to use instead of drawing.

        Raises:
            ArgumentError: a list of generators that are not as many as the batch.
        """
        noise = unit_noise(
            _shape(self, batch_size, num_channels_latents, height, width),
            generator=generator,
            dtype=dtype,
            device=device,
        ) if latents is None else latents.to(device=device, dtype=dtype)  # fmt: skip
        return noise * self.scheduler.init_noise_sigma


class StartsFromImage(LatentPipeline):
    """The start of image to image."""

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
        """Latents (B, C, h, w) of `image` with the noise of `timestep` on them.

        Args:
            image: pixels (N, 3, H, W) in [-1, 1], or latents (N, C, h, w); N divides B.
            timestep: one, or one for each of B.
            batch_size: how many prompts; B is that times `num_images_per_prompt`.
            add_noise: False leaves the noise out.

        Raises:
            ArgumentError: images or generators don't fit the batch.
        """
        latents = encode_start(
            self.codec,
            image,
            batch_size=batch_size * num_images_per_prompt,
            generator=generator,
            dtype=dtype,
            device=device,
        )
        if not add_noise:
            return latents
        return noised(self.scheduler, latents, timestep=timestep, generator=generator)


class StartsFromMask(LatentPipeline):
    """The start of inpainting, for programs; the task itself has it in one function."""

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
        """The first latents; then the noise, and the clean latents of `image`, if asked for.

        Args:
            height, width: in pixels.
            latents: unit noise to use instead of drawing.
            image: pixels (N, 3, H, W) in [-1, 1], or latents; N divides the batch.
            timestep: the first of the steps.
            is_strength_max: start from pure noise, not from the image with noise on it.
            add_noise: False starts from the clean image.

        Raises:
            ArgumentError: the image or the timestep is needed and missing, or something doesn't
                fit the batch.
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
        """Mask and masked image in latents, each for the batch, and doubled under guidance.

        Args:
            mask: (M, 1, H, W); M divides the batch.
            masked_image: pixels (N, 3, H, W) in [-1, 1], or latents, or None.
            height, width: in pixels.

        Raises:
            ArgumentError: something doesn't fit the batch.
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

    def _encode_vae_image(self, image: Tensor, generator: Generators) -> Tensor:
        """Scaled latents of `image`, which may be latents already."""
        return encode_images(self.codec, image, generator)


def _shape(pipe: Any, batch_size: int, channels: int, height: int, width: int) -> tuple[int, ...]:
    factor = pipe.vae_scale_factor
    return (batch_size, channels, int(height) // factor, int(width) // factor)
