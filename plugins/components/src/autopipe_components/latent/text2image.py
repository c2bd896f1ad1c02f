"""Text to image: latents start as pure noise."""

from __future__ import annotations

from typing import Any

from ..steps.text2image import check_latents
from .starts import StartsFromNoise


class LatentText2Image(StartsFromNoise):
    """Text to image in the latents of an autoencoder."""

    def _draw(self) -> Any:
        """Make a call: from pure noise to what the prompt says."""
        # 1. Check everything that can be checked
        batch_size, call = self._begin(), self.call
        height, width = self._asked_size()
        self._check_memory_of(batch_size, height, width)
        self._check_steps()
        self._check_network()
        shape = self._latent_shape(batch_size, height, width)
        if call.latents is not None:
            check_latents(call.latents, shape)
        reports = self._reports()

        # 2. Lay out the steps
        schedule = self._until_end(self._lay_out())

        # 3. Encode the prompt
        tensors = self._told(height, width)

        # 4. Start from noise
        tensors["latents"] = self.prepare_latents(
            batch_size,
            self._codec.channels,
            height,
            width,
            self._dtype_of(tensors),
            self._execution_device,
            call.generator,
            call.latents,
        )

        # 5. Denoise
        denoised = self._walk(tensors, schedule, reports)

        # 6. Decode the images
        return self._finish(denoised)
