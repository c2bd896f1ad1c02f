"""Text to image: latents start as pure noise."""

from __future__ import annotations

from typing import Any

from ..steps.text2image import check_latents
from .starts import StartsFromNoise


class LatentText2Image(StartsFromNoise):
    """Text to image in the latents of an autoencoder."""

    def run_task(self) -> Any:
        """Make a call: from pure noise to what the prompt says."""
        # 1. Check everything that can be checked
        batch_size, call = self.begin_call(), self.call
        height, width = self.resolve_size()
        self.check_image_memory(batch_size, height, width)
        self.check_steps()
        self.check_denoiser()
        shape = self.latent_shape(batch_size, height, width)
        if call.latents is not None:
            check_latents(call.latents, shape)
        reports = self.check_callbacks()

        # 2. Lay out the steps
        schedule = self.trim_end(self.make_schedule())

        # 3. Encode the prompt
        tensors = self.prepare_conditioning(height, width)

        # 4. Start from noise
        tensors["latents"] = self.prepare_latents(
            batch_size,
            self.codec.channels,
            height,
            width,
            self.latents_dtype(tensors),
            self._execution_device,
            call.generator,
            call.latents,
        )

        # 5. Denoise
        denoised = self.denoise_latents(tensors, schedule, reports)

        # 6. Decode the images
        return self.make_output(denoised)
