"""A decoder that starts from a noised image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors
from autopipe_components.images.kinds import ImageInput, as_list, kind_of
from autopipe_components.steps.callbacks import StepCallbacks
from autopipe_components.steps.checks import (
    check_colours,
    check_image,
    check_steps,
    check_strength,
)
from autopipe_components.steps.codec import Generators, are_latents, check_pixels, check_spread
from autopipe_components.steps.image2image import add_noise, encode_start
from autopipe_components.steps.text2image import check_latents

from .decoder import EmbeddingDecoder, Start
from .methods import StrengthMethods


@dataclass(frozen=True)
class ImageStart(Start):
    """The start of a call.

    Attributes:
        images: pixels (N, 3, H, W), or latents (N, C, h, w).
    """

    images: Tensor


class FromImage(StrengthMethods, EmbeddingDecoder):
    """Starts from an image, or from the caller's `latents`, which are already noised."""

    _tensors_as_decoded = False

    def prepare_start(self, rows: int) -> Start:
        call = self.call
        check_image(call.image)
        check_steps(call.num_inference_steps)
        check_strength(call.strength)
        self.check_denoiser()
        images = self._sized(call.image, *self.working_size(call.height, call.width))
        if call.latents is None:
            check_pixels(self.codec, images)
        check_spread(images, rows, "images")
        scale = 1 if are_latents(self.codec, images) else self.codec.factor
        size = (images.shape[2] // scale, images.shape[3] // scale)
        if call.latents is not None:
            check_latents(call.latents, self._shape(rows, size))
        return ImageStart(rows, size, self.make_schedule(call.strength), images)

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the processed image."""
        return height, width

    def _sized(self, image: ImageInput, height: int, width: int) -> Tensor:
        """Return images (N, 3, H, W), each resized separately, or the given latents."""
        prepared = [self.image_processor.preprocess(o, height, width) for o in as_list(image)]
        shapes = sorted({tuple(one.shape[1:]) for one in prepared})
        if len(shapes) > 1:
            raise ArgumentError(f"the images have the shapes {shapes}; they must be equal")
        images = torch.cat(prepared)
        if kind_of(image) != "pt" or not are_latents(self.codec, images):
            check_colours(images)
        return images

    def _denoised(self, tensors: Tensors, start: Start, callbacks: StepCallbacks) -> Tensor:
        assert isinstance(start, ImageStart)
        latents = self.call.latents
        device, dtype = self._execution_device, tensors["image_embeds"].dtype
        if latents is None:
            images = start.images.to(device=device, dtype=dtype)
            clean = images if are_latents(self.codec, images) else self.codec.encode(images)
            clean = self.repeat_for_batch(clean, start.rows, "images")
            latents = self.noise_latents(clean, start.schedule.timesteps[0])
        tensors["latents"] = latents.to(device=device, dtype=dtype)
        return self.denoise_latents(tensors, start, callbacks)

    def noise_latents(self, clean: Tensor, timestep: Tensor) -> Tensor:
        """Return the latents `clean` with the noise of the first `timestep`."""
        count = self.call.num_images_per_prompt
        return self.prepare_latents(
            clean,
            timestep.reshape(1).repeat(len(clean)),
            len(clean) // count,
            count,
            clean.dtype,
            clean.device,
            self.call.generator,
        )

    def prepare_latents(
        self,
        image: Tensor,
        timestep: Tensor,
        batch_size: int,
        num_images_per_prompt: int,
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Generators = None,
    ) -> Tensor:
        """Return latents (B, C, h, w) of `image` with the noise of `timestep`.

        Args:
            image: pixels (N, 3, H, W) in [-1, 1], or latents (N, C, h, w); N must divide B.
            timestep: one timestep, or one for each of B.
            batch_size: the number of embeddings; B is that times `num_images_per_prompt`.

        Raises:
            ArgumentError: if images or generators don't fit the batch.
        """
        batch = batch_size * num_images_per_prompt
        like: dict[str, Any] = {"dtype": dtype, "device": device}
        clean = encode_start(self.codec, image, batch_size=batch, generator=generator, **like)
        return add_noise(self.scheduler, clean, timestep=timestep, generator=generator)
