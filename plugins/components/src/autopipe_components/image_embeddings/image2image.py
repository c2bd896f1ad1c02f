"""A decoder that starts from an image with noise on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors

from ..images.kinds import ImageInput, as_list, kind_of
from ..stages.checks import (
    check_colours,
    check_image,
    check_network_channels,
    check_steps,
    check_strength,
)
from ..stages.codec import Generators, are_latents, check_spread
from ..stages.image2image import add_noise
from ..stages.reports import Reports
from ..stages.text2image import check_latents
from ..stages.timesteps import Schedule, keep_tail, set_schedule
from .decoder import EmbeddingDecoder, spread


@dataclass(frozen=True)
class ImageStart:
    """What a call starts from.

    Attributes:
        schedule: the steps that are taken.
        images: pixels (N, 3, H, W), or latents (N, C, h, w).
        size: height and width in latent cells.
        rows, num_images_per_prompt: for how many embeddings, and how often for each.
        strength: from 0 to 1.
        latents: the caller's own (B, C, h, w), noised already.
    """

    schedule: Schedule
    images: Tensor
    size: tuple[int, int]
    rows: int
    num_images_per_prompt: int
    strength: float
    latents: Tensor | None


class FromImage(EmbeddingDecoder):
    """The steps of a decoder that starts from an image."""

    _tensors_as_decoded = False

    def _prepare(
        self,
        rows: int,
        num_images_per_prompt: int,
        image: ImageInput,
        *,
        height: int,
        width: int,
        num_inference_steps: int,
        strength: float,
        latents: Tensor | None,
    ) -> ImageStart:
        """Lay out the steps and bring the image to its size; no network is used.

        Raises:
            ArgumentError, ArgumentTypeError, SchedulerError: an argument can't be used.
        """
        check_image(image)
        check_steps(num_inference_steps)
        check_strength(strength)
        self._check_channels()
        images = self._sized(image, *self._pixel_size(height, width))
        check_spread(images, rows, "images")
        scale = 1 if are_latents(self._codec, images) else self._codec.factor
        size = (images.shape[2] // scale, images.shape[3] // scale)
        if latents is not None:
            batch_size = rows * num_images_per_prompt
            check_latents(latents, (batch_size, self._codec.channels, *size))
        schedule = set_schedule(
            self.scheduler, num_inference_steps=num_inference_steps, device=self._execution_device
        )
        schedule = keep_tail(self.scheduler, steps=schedule.steps, strength=strength)
        return ImageStart(schedule, images, size, rows, num_images_per_prompt, strength, latents)

    def _check_channels(self) -> None:
        check_network_channels(self.unet.config.in_channels, self._codec.channels)

    def _pixel_size(self, height: int, width: int) -> tuple[int, int]:
        """At which size the image is worked on."""
        return height, width

    def _sized(self, image: ImageInput, height: int, width: int) -> Tensor:
        """Images (N, 3, H, W), each brought to the size by itself, or latents as they are given."""
        prepared = [self.image_processor.preprocess(o, height, width) for o in as_list(image)]
        shapes = sorted({tuple(one.shape[1:]) for one in prepared})
        if len(shapes) > 1:
            raise ArgumentError(f"the images come to shapes {shapes}; make them one shape")
        images = torch.cat(prepared)
        if kind_of(image) != "pt" or not are_latents(self._codec, images):
            check_colours(images)
        return images

    def _draw(
        self, tensors: Tensors, start: ImageStart, *, generator: Generators, reports: Reports
    ) -> Tensor:
        """The latents of the image, changed towards what `tensors` hold."""
        latents = start.latents
        device, dtype = self._execution_device, tensors["image_embeds"].dtype
        if latents is None:
            images = start.images.to(device=device, dtype=dtype)
            clean = images if are_latents(self._codec, images) else self._codec.encode(images)
            clean = spread(clean, start.rows, start.num_images_per_prompt, "images")
            latents = self._noised(clean, start.schedule.timesteps[0], start.strength, generator)
        tensors["latents"] = latents.to(device=device, dtype=dtype)
        return self._denoise(
            tensors, self._predictor(tensors), start.schedule, reports, eta=0.0, generator=generator
        )

    def _noised(
        self, clean: Tensor, timestep: Tensor, strength: float, generator: Generators
    ) -> Tensor:
        """`clean` latents with the noise of the first `timestep`."""
        return add_noise(self.scheduler, clean, timestep=timestep, generator=generator)
