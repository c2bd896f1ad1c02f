"""Image to image: the loop starts from the latents of an image with noise added."""

from __future__ import annotations

from typing import Any, TypeVar

from ..steps.checks import check_image, check_strength, check_tensor
from ..steps.codec import check_pixels, check_size_of_latents, check_spread
from ..steps.text2image import check_latents
from .starts import StartsFromImage

_Result = TypeVar("_Result")


class LatentImage2Image(StartsFromImage[_Result]):
    """Image to image in the latent space of an autoencoder."""

    def run_task(self) -> _Result:
        """Run a call: add noise to an image, and denoise it according to the prompt."""
        # 1. Check the arguments
        batch_size, call = self.begin_call(), self.call
        latents, repeats = call.get("latents"), call.get("num_images_per_prompt", 1)
        check_image(call.image)
        check_strength(call.strength)
        self.check_steps()
        self.check_denoiser()
        check_tensor("latents", latents)
        if latents is not None and not self.resizes_image:
            check_latents(latents, (batch_size, self.codec.channels, *latents.shape[-2:]))
        callbacks = self.check_callbacks()

        # 2. Convert the image to pixels
        if self.resizes_image:
            size = self.resolve_size()
            pixels = self.image_processor.preprocess(call.image, *size)
            check_size_of_latents(self.codec, pixels, size)
        else:
            pixels = self.image_to_pixels(call.image)
            size = self.size_in_pixels(pixels if latents is None else latents)
        if latents is None:
            check_pixels(self.codec, pixels)
        check_spread(pixels, batch_size, "images")
        self.set_size(batch_size, *size)
        if latents is not None:
            latents = self.given_latents(latents, batch_size)

        # 3. Make the schedule, and keep the part that `strength` leaves
        schedule = self.trim_start(self.make_schedule())

        # 4. Encode the prompt
        tensors = self.prepare_conditioning(*size)

        # 5. Encode the image and add noise, unless latents are given
        dtype, device = self.latents_dtype(tensors), self._execution_device
        # Passed only if it matters, since overriding methods may not have this parameter.
        clean: dict[str, Any] = {} if self.adds_noise else {"add_noise": False}
        if latents is None:
            latents = self.prepare_latents(
                pixels,
                schedule.timesteps[:1].repeat(batch_size),
                batch_size // repeats,
                repeats,
                dtype,
                device,
                call.get("generator"),
                **clean,
            )
        tensors["latents"] = self.pack(latents.to(device=device, dtype=dtype))

        # 6. Denoise
        denoised = self.denoise_latents(tensors, self.trim_end(schedule), callbacks)

        # 7. Decode the images
        return self.make_output(denoised)
