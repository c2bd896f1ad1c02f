"""A decoder that starts from an image with noise on it."""

from __future__ import annotations

import torch
from torch import Tensor

from autopipe.pipeline.loop import Tensors

from ..images.kinds import ImageInput, as_list
from ..stages.checks import (
    check_image,
    check_network_channels,
    check_steps,
    check_strength,
)
from ..stages.codec import Generators, are_latents, tile
from ..stages.image2image import add_noise
from ..stages.reports import Reports
from ..stages.text2image import check_latents
from ..stages.timesteps import keep_tail, set_schedule
from .decoder import EmbeddingDecoder


class FromImage(EmbeddingDecoder):
    """The steps of a decoder that starts from an image."""

    _tensors_as_decoded = False

    def _check_start(
        self,
        batch_size: int,
        image: ImageInput,
        *,
        height: int,
        width: int,
        num_inference_steps: int,
        strength: float,
        latents: Tensor | None,
    ) -> None:
        """Refuse what a start from an image can't use.

        Raises:
            ArgumentError, ArgumentTypeError: it is so.
        """
        check_image(image)
        check_steps(num_inference_steps)
        check_strength(strength)
        self._check_channels()
        if latents is not None:
            rows, columns = (side // self._codec.factor for side in self._pixel_size(height, width))
            check_latents(latents, (batch_size, self._codec.channels, rows, columns))

    def _check_channels(self) -> None:
        check_network_channels(self.unet.config.in_channels, self._codec.channels)

    def _pixel_size(self, height: int, width: int) -> tuple[int, int]:
        """At which size the image is worked on."""
        return height, width

    def _draw(
        self,
        tensors: Tensors,
        batch_size: int,
        *,
        image: ImageInput,
        height: int,
        width: int,
        num_inference_steps: int,
        strength: float,
        num_images_per_prompt: int,
        generator: Generators,
        latents: Tensor | None,
        reports: Reports,
    ) -> Tensor:
        """The latents of `image`, changed towards what `tensors` hold."""
        schedule = set_schedule(
            self.scheduler,
            num_inference_steps=num_inference_steps,
            device=self._execution_device,
        )
        schedule = keep_tail(self.scheduler, steps=schedule.steps, strength=strength)
        dtype = tensors["image_embeds"].dtype
        if latents is None:
            size = self._pixel_size(height, width)
            clean = self._encode_images(image, *size, dtype=dtype)
            clean = clean.repeat_interleave(num_images_per_prompt, dim=0)
            clean = tile(clean, batch_size, "images")
            latents = self._noised(clean, schedule.timesteps[0], strength, generator)
        tensors["latents"] = latents.to(device=self._execution_device, dtype=dtype)
        return self._denoise(
            tensors, self._predictor(tensors), schedule, reports, eta=0.0, generator=generator
        )

    def _encode_images(
        self, image: ImageInput, height: int, width: int, *, dtype: torch.dtype
    ) -> Tensor:
        """Latents (N, C, h, w) of images, each brought to the size by itself, or given as such."""
        prepared = [self.image_processor.preprocess(o, height, width) for o in as_list(image)]
        images = torch.cat(prepared).to(device=self._execution_device, dtype=dtype)
        return images if are_latents(self._codec, images) else self._codec.encode(images)

    def _noised(
        self, clean: Tensor, timestep: Tensor, strength: float, generator: Generators
    ) -> Tensor:
        """`clean` latents with the noise of the first `timestep`."""
        return add_noise(self.scheduler, clean, timestep=timestep, generator=generator)
