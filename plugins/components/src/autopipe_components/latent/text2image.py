"""Text to image: latents start as pure noise."""

from __future__ import annotations

from typing import Any

from ..steps.text2image import check_latents, start_from_noise
from .steps import LatentPipeline


class LatentText2Image(LatentPipeline):
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
        tensors["latents"] = start_from_noise(
            shape,
            generator=call.generator,
            dtype=self._dtype_of(tensors),
            device=self._execution_device,
            init_noise_sigma=self.scheduler.init_noise_sigma,
            latents=call.latents,
        )

        # 5. Denoise
        denoised = self._walk(tensors, schedule, reports)

        # 6. Decode the images
        return self._finish(denoised)
