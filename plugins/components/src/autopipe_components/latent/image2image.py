"""Image to image: latents start as an image with noise on it."""

from __future__ import annotations

from typing import Any

from ..steps.checks import check_image, check_strength, check_tensor
from ..steps.codec import check_pixels, check_spread
from ..steps.text2image import check_latents
from .starts import StartsFromImage


class LatentImage2Image(StartsFromImage):
    """Image to image in the latents of an autoencoder."""

    def _draw(self) -> Any:
        """Make a call: from an image with noise on it to what the prompt says."""
        # 1. Check everything that can be checked
        batch_size, call, latents = self._begin(), self.call, self.call.latents
        check_image(call.image)
        check_strength(call.strength)
        self._check_steps()
        self._check_network()
        check_tensor("latents", latents)
        if latents is not None:
            check_latents(latents, (batch_size, self._codec.channels, *latents.shape[-2:]))
        reports = self._reports()

        # 2. Lay out the steps, and keep those that are left
        schedule = self._tail(self._lay_out())

        # 3. Make pixels of the image
        pixels = self._pixels_of(call.image)
        if latents is None:
            check_pixels(self._codec, pixels)
        check_spread(pixels, batch_size, "images")
        size = self._size_in_pixels(pixels if latents is None else latents)
        self._check_memory_of(batch_size, *size)

        # 4. Encode the prompt
        tensors = self._told(*size)

        # 5. Encode the image and put noise on it, unless it has its own
        like: dict[str, Any] = {"dtype": self._dtype_of(tensors), "device": self._execution_device}
        # Said only if it is so, since overriding methods may not know it.
        clean: dict[str, Any] = {} if self._adds_noise else {"add_noise": False}
        if latents is None:
            latents = self.prepare_latents(
                pixels,
                schedule.timesteps[:1].repeat(batch_size),
                batch_size // call.num_images_per_prompt,
                call.num_images_per_prompt,
                generator=call.generator,
                **like,
                **clean,
            )
        tensors["latents"] = latents.to(**like)

        # 6. Denoise
        denoised = self._walk(tensors, self._until_end(schedule), reports)

        # 7. Decode the images
        return self._finish(denoised)
