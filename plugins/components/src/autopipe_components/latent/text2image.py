"""Text to image: the loop starts from pure noise."""

from __future__ import annotations

from typing import TypeVar

from .starts import StartsFromNoise

_Result = TypeVar("_Result")


class LatentText2Image(StartsFromNoise[_Result]):
    """Text to image in the latent space of an autoencoder."""

    def run_task(self) -> _Result:
        """Run a call: denoise pure noise according to the prompt."""
        # 1. Check the arguments
        batch_size, call = self.begin_call(), self.call
        latents = call.get("latents")
        height, width = self.resolve_size()
        self.set_size(batch_size, height, width)
        self.check_steps()
        self.check_denoiser()
        if latents is not None:
            latents = self.given_latents(latents, batch_size)
        callbacks = self.check_callbacks()

        # 2. Make the schedule
        schedule = self.trim_end(self.make_schedule())

        # 3. Encode the prompt
        tensors = self.prepare_conditioning(height, width)

        # 4. Start from noise
        first = self.prepare_latents(
            batch_size,
            self.codec.channels,
            height,
            width,
            self.latents_dtype(tensors),
            self._execution_device,
            call.get("generator"),
            latents,
        )
        tensors["latents"] = self.pack(first)

        # 5. Denoise
        denoised = self.denoise_latents(tensors, schedule, callbacks)

        # 6. Decode the images
        return self.make_output(denoised)
