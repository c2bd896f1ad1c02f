"""Inpainting: repaints the region that a mask marks, and keeps the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from torch import Tensor

from autopipe.pipeline.loop import Tensors

from ..images.masks import check_single_channel
from ..steps.callbacks import StepCallbacks
from ..steps.canvas import prepare_canvas
from ..steps.checks import (
    check_image,
    check_mask,
    check_mask_crop,
    check_paste,
    check_strength,
)
from ..steps.codec import check_pixels, check_spread
from ..steps.inpaint import Inpainting, check_masked, network_sees_mask, start_inpainting
from ..steps.timesteps import Schedule, check_any_left
from .starts import StartsFromMask

_Result = TypeVar("_Result")


class LatentInpaint(StartsFromMask[_Result]):
    """Inpainting in the latent space of an autoencoder.

    The network may take mask and masked image as further channels, or the latents alone.
    """

    def run_task(self) -> _Result:
        """Run a call: repaint the masked region of an image according to the prompt."""
        # 1. Check the arguments
        batch_size, call = self.begin_call(), self.call
        latents = call.get("latents")
        height, width = self.resolve_size()
        self.set_size(batch_size, height, width)
        crop, paste = call.get("padding_mask_crop"), call.get("paste_unmasked", False)
        check_image(call.image)
        check_mask(call.image, call.mask_image)
        check_mask_crop(crop, call.image, call.mask_image, call.output_type)
        check_strength(call.strength)
        self.check_steps()
        self.check_denoiser()
        if latents is not None:
            latents = self.given_latents(latents, batch_size)
        callbacks = self.check_callbacks()

        # 2. Make the schedule, and keep the part that `strength` leaves
        schedule = self.trim_start(self.make_schedule())
        check_any_left(schedule)

        # 3. Convert image and mask to pixels, or only the region around the mask
        canvas = prepare_canvas(
            call.image,
            call.mask_image,
            height=height,
            width=width,
            image_processor=self.image_processor,
            mask_processor=self.mask_processor,
            padding_mask_crop=crop,
        )
        check_pixels(self.codec, canvas.pixels)
        check_masked(self.codec, call.get("masked_image_latents"), canvas.pixels, batch_size)
        check_single_channel(canvas.mask)
        check_spread(canvas.pixels, batch_size, "images")
        check_spread(canvas.mask, batch_size, "masks")
        check_paste(paste, canvas.pixels, call.output_type)

        # 4. Encode the prompt
        tensors = self.prepare_conditioning(*self.size_in_pixels(canvas.pixels))

        # 5. Encode the image, draw the noise, and compute the initial latents
        start = start_inpainting(
            self.codec,
            self.scheduler,
            image=canvas.pixels,
            mask=canvas.mask,
            timestep=schedule.timesteps[0],
            strength=call.strength,
            batch_size=batch_size,
            in_channels=self.denoiser_in_channels,
            dtype=self.latents_dtype(tensors),
            device=self._execution_device,
            generator=call.get("generator"),
            latents=latents,
            masked_image_latents=call.get("masked_image_latents"),
            guided=self.do_classifier_free_guidance,
            noised=self.adds_noise,
            pure=None if self.starts_pure else False,
            keeps_latents=self.keeps_latents,
        )

        # 6. Denoise, keeping what is outside the mask
        denoised = self.repaint(tensors, start, self.trim_end(schedule), callbacks)

        # 7. Decode the images, and paste a cropped region back into its place
        return self.make_output(denoised, canvas.paste_unmasked if paste else None, canvas.put_back)

    def check_denoiser(self) -> None:
        network_sees_mask(self.denoiser_in_channels, self.codec.channels)

    def mask_channels(self, inpainting: Inpainting) -> Sequence[Tensor]:
        """Return what the network takes after the latents along the channels; may be empty.

        By default the mask, 1 where the image is repainted, and the latents of the masked image, if
        the network takes them.
        """
        return inpainting.extra_channels()

    def repaint(
        self, tensors: Tensors, start: Inpainting, schedule: Schedule, callbacks: StepCallbacks
    ) -> Tensor:
        """Denoise from `start`, keeping what is outside the mask."""
        start = self._packed(start)
        tensors["latents"] = start.latents
        tensors["mask"] = start.mask
        tensors["masked_image_latents"] = start.masked_image_latents

        def inpainting() -> Inpainting:
            # With the current mask and masked image, since a callback may have replaced them.
            masked = tensors["masked_image_latents"]
            return replace(start, mask=tensors["mask"], masked_image_latents=masked)

        return self.denoise_latents(
            tensors,
            schedule,
            callbacks,
            extra_channels=lambda: self.mask_channels(inpainting()),
            keep=lambda step, timestep, after: inpainting().keep(
                self.scheduler, schedule.timesteps, step, after
            ),
        )

    def _packed(self, start: Inpainting) -> Inpainting:
        """Return `start` in the form that the loop has."""
        original, masked = start.original, start.masked_image_latents
        return Inpainting(
            latents=self.pack(start.latents),
            noise=self.pack(start.noise),
            original=None if original is None else self.pack(original),
            mask=self.pack_mask(start.mask),
            masked_image_latents=None if masked is None else self.pack(masked),
        )
