"""Image to image: latents start as an image with noise on it."""

from __future__ import annotations

from typing import Any

from ..steps.checks import check_image, check_strength, check_tensor
from ..steps.codec import check_pixels, check_spread
from ..steps.text2image import check_latents
from .starts import StartsFromImage


class LatentImage2Image(StartsFromImage):
    """Image to image in the latents of an autoencoder."""

    def run_task(self) -> Any:
        """Make a call: from an image with noise on it to what the prompt says."""
        # 1. Check everything that can be checked
        batch_size, call, latents = self.begin_call(), self.call, self.call.latents
        check_image(call.image)
        check_strength(call.strength)
        self.check_steps()
        self.check_denoiser()
        check_tensor("latents", latents)
        if latents is not None:
            check_latents(latents, (batch_size, self.codec.channels, *latents.shape[-2:]))
        reports = self.check_callbacks()

        # 2. Lay out the steps, and keep those that are left
        schedule = self.trim_start(self.make_schedule())

        # 3. Make pixels of the image
        pixels = self.image_to_pixels(call.image)
        if latents is None:
            check_pixels(self.codec, pixels)
        check_spread(pixels, batch_size, "images")
        size = self.size_in_pixels(pixels if latents is None else latents)
        self.check_image_memory(batch_size, *size)

        # 4. Encode the prompt
        tensors = self.prepare_conditioning(*size)

        # 5. Encode the image and put noise on it, unless it has its own
        dtype, device = self.latents_dtype(tensors), self._execution_device
        # Given only where it matters: methods that override this one may not know it.
        clean: dict[str, Any] = {} if self.adds_noise else {"add_noise": False}
        if latents is None:
            latents = self.prepare_latents(
                pixels,
                schedule.timesteps[:1].repeat(batch_size),
                batch_size // call.num_images_per_prompt,
                call.num_images_per_prompt,
                dtype,
                device,
                call.generator,
                **clean,
            )
        tensors["latents"] = latents.to(device=device, dtype=dtype)

        # 6. Denoise
        denoised = self.denoise_latents(tensors, self.trim_end(schedule), reports)

        # 7. Decode the images
        return self.make_output(denoised)
