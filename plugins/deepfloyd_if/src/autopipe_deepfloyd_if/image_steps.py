"""The steps that pipelines with an initial image share, and those for inpainting."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autopipe.pipeline.loop import Tensors
from autopipe_components.images.kinds import ImageInput, as_list, kind_of
from autopipe_components.steps.checks import check_image, check_mask, check_strength
from autopipe_components.steps.codec import Generators, check_spread
from autopipe_components.steps.image2image import add_noise
from autopipe_components.steps.inpaint import blend, mask_to_latents
from autopipe_components.steps.timesteps import Schedule

from .pixels import fitted_size, make_mask, make_pixels
from .steps import IFSteps, Keep, Start


class IFImageSteps(IFSteps):
    """Starts from a noised image."""

    def prepare_start(self) -> Start:
        """Check the arguments, and return the start from a noised image of the output size."""
        pixels = self._pixels()

        def start(tensors: Tensors, schedule: Schedule) -> None:
            tensors["latents"] = self.prepare_intermediate_images(
                self._for_prompts(pixels, tensors), *self._place(tensors, schedule)
            )

        return start

    def _place(self, tensors: Tensors, schedule: Schedule) -> tuple[Any, ...]:
        """Return the arguments of `prepare_intermediate_images` after the image."""
        count, batch = self.call.num_images_per_prompt, self._batch_size
        dtype, device = tensors["prompt_embeds"].dtype, self._execution_device
        first = schedule.timesteps[:1].repeat(batch)
        return first, self._prompts, count, dtype, device, *self._further(tensors)

    def _further(self, tensors: Tensors) -> tuple[Any, ...]:
        return (self.call.generator,)

    def prepare_intermediate_images(
        self,
        image: Tensor,
        timestep: Tensor,
        batch_size: int,
        num_images_per_prompt: int,
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Generators = None,
    ) -> Tensor:
        """Return pixels (B, 3, H, W) of `image` with the noise of `timestep`.

        Args:
            image: (N, 3, H, W), one for each prompt.
            timestep: one timestep, or one for each of B.
            batch_size: the number of prompts; B is that times `num_images_per_prompt`.
            dtype, device: those of the noise.
        """
        clean = image.to(device, dtype).repeat_interleave(num_images_per_prompt, dim=0)
        return add_noise(self.scheduler, clean, timestep=timestep, generator=generator)

    def preprocess_original_image(self, image: ImageInput) -> Tensor:
        """Return `image` as (N, 3, H, W) in [-1, 1]; PIL images are resized to the output size."""
        name = self._original()[0] if self.is_run else "image"
        return make_pixels(image, self.unet.config.sample_size, name)

    def _pixels(self) -> Tensor:
        """Return the initial image (N, 3, H, W).

        Raises:
            ArgumentError: if the image or `strength` is not valid.
            ArgumentTypeError: if the image has the wrong type.
        """
        name, image = self._original()
        check_image(image, name)
        check_strength(self.call.strength)
        pixels = self.preprocess_original_image(image)
        self._check_size(*pixels.shape[-2:])
        check_spread(pixels, self._prompts, f"{name}s")
        return pixels

    def _original(self) -> tuple[str, ImageInput]:
        """Return the name and value of the argument with the initial image."""
        return "image", self.call.image


class IFMaskSteps(IFImageSteps):
    """Starts from noise inside a mask; the rest is restored after each step."""

    _callback_tensor_inputs = (*IFImageSteps._callback_tensor_inputs, "mask")

    def prepare_start(self) -> Start:
        """Check the arguments, and return the start from noise in a mask, at the output size."""
        pixels = self._pixels()
        mask = self._mask(pixels)

        def start(tensors: Tensors, schedule: Schedule) -> None:
            clean = self._for_prompts(pixels, tensors)
            height, width = clean.shape[-2:]
            small = mask_to_latents(
                mask,
                (height, width),
                batch_size=self._prompts,
                dtype=clean.dtype,
                device=clean.device,
            )
            tensors["mask"] = small.repeat_interleave(self.call.num_images_per_prompt, dim=0)
            tensors["latents"] = self.prepare_intermediate_images(
                clean, *self._place(tensors, schedule)
            )

        return start

    def _further(self, tensors: Tensors) -> tuple[Any, ...]:
        return tensors["mask"], self.call.generator

    def prepare_intermediate_images(  # type: ignore[override]  # the mask comes first
        self,
        image: Tensor,
        timestep: Tensor,
        batch_size: int,
        num_images_per_prompt: int,
        dtype: torch.dtype,
        device: torch.device | str,
        mask_image: Tensor,
        generator: Generators = None,
    ) -> Tensor:
        """Return the noised image of `IFImageSteps`, without noise where `mask_image` is 0.

        Args:
            mask_image: (B, 1, H, W).
        """
        noised = super().prepare_intermediate_images(
            image, timestep, batch_size, num_images_per_prompt, dtype, device, generator
        )
        clean = image.repeat_interleave(num_images_per_prompt, dim=0)
        return blend(mask_image, noised, clean)

    def preprocess_mask_image(self, mask_image: ImageInput) -> Tensor:
        """Return `mask_image` as (M, 1, H, W), 0 or 1; PIL images get the output size."""
        if kind_of(mask_image) != "pil":
            return make_mask(mask_image)
        size = fitted_size(as_list(mask_image)[0], self.unet.config.sample_size)
        return make_mask(mask_image, *size)

    def _mask(self, pixels: Tensor) -> Tensor:
        """Return the mask (M, 1, H, W) at the size of `pixels`.

        Raises:
            ArgumentError: if the mask is not valid.
            ArgumentTypeError: if the mask has the wrong type.
        """
        _, image = self._original()
        check_mask(image, self.call.mask_image)
        mask = make_mask(self.call.mask_image, *pixels.shape[-2:])
        check_spread(mask, self._prompts, "masks")
        return mask

    def _keep(self, tensors: Tensors) -> Keep:
        """Return a function that restores the pixels outside the mask from before the step."""
        return lambda step, timestep, after: blend(tensors["mask"], after, tensors["latents"])
