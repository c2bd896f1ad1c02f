"""A decoder that repaints a part of an image; its U-Net sees the mask and the masked image."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors

from ..images.kinds import ImageInput
from ..stages.checks import check_image, check_steps, check_strength
from ..stages.codec import Generators, tile
from ..stages.guidance import double
from ..stages.inpaint import Inpainting, network_sees_mask
from ..stages.reports import Reports
from ..stages.text2image import check_latents, unit_noise
from ..stages.timesteps import keep_tail, set_schedule
from .canvas import kept_of, pixels_of
from .decoder import EmbeddingDecoder


class Repaint(EmbeddingDecoder):
    """The steps of a decoder that repaints a part of an image."""

    _callback_tensor_inputs = (
        *EmbeddingDecoder._callback_tensor_inputs,
        "masked_image",
        "mask_image",
    )
    _blends = True
    """Whether the original is put back outside the mask after each step."""

    def _check_start(
        self,
        batch_size: int,
        image: ImageInput,
        mask_image: ImageInput,
        *,
        height: int,
        width: int,
        num_inference_steps: int,
        strength: float,
        latents: Tensor | None,
    ) -> None:
        """Refuse what repainting can't use.

        Raises:
            ArgumentError, ArgumentTypeError: it is so.
        """
        check_image(image)
        check_image(mask_image, "mask_image")
        check_steps(num_inference_steps)
        check_strength(strength)
        if not network_sees_mask(self.unet.config.in_channels, self._codec.channels):
            raise ArgumentError(
                "this checkpoint's U-Net takes no mask; load one for inpainting, such as a "
                "decoder-inpaint"
            )
        if latents is not None:
            size = self._latent_size(height, width)
            check_latents(latents, (batch_size, self._codec.channels, *size))

    def _draw(
        self,
        tensors: Tensors,
        batch_size: int,
        *,
        image: ImageInput,
        mask_image: ImageInput,
        height: int,
        width: int,
        num_inference_steps: int,
        strength: float,
        num_images_per_prompt: int,
        generator: Generators,
        latents: Tensor | None,
        reports: Reports,
    ) -> Tensor:
        """The latents of `image`, repainted where `mask_image` is white."""
        # 1. Lay out the steps
        device, dtype = self._execution_device, tensors["image_embeds"].dtype
        schedule = set_schedule(
            self.scheduler, num_inference_steps=num_inference_steps, device=device
        )
        if strength < 1:
            schedule = keep_tail(self.scheduler, steps=schedule.steps, strength=strength)

        # 2. Encode the image, and bring the mask to the size of its latents
        size = self._latent_size(height, width)
        height, width = (side * self._codec.factor for side in size)

        def spread(rows: Tensor, what: str) -> Tensor:
            rows = rows.to(device=device, dtype=dtype)
            return tile(rows.repeat_interleave(num_images_per_prompt, dim=0), batch_size, what)

        pixels = pixels_of(image, height, width).to(device=device, dtype=dtype)
        original = spread(self._codec.encode(pixels), "images")
        kept = spread(kept_of(mask_image, height, width, size), "masks")

        # 3. Start from noise, or from the noised image
        noise = unit_noise(
            tuple(original.shape), generator=generator, dtype=dtype, device=device, given=latents
        )
        first = noise * self.scheduler.init_noise_sigma
        if strength < 1:
            first = self.scheduler.add_noise(original, noise, schedule.timesteps[:1])
        guided = self.do_classifier_free_guidance
        tensors["latents"] = first
        tensors["mask_image"] = double(kept) if guided else kept
        tensors["masked_image"] = double(original * kept) if guided else original * kept

        # 4. Denoise
        def keep(step: int, timestep: Tensor | None, after: Tensor) -> Tensor:
            """With the mask as it is now: a callback may have changed it."""
            now = replace(start, mask=1 - tensors["mask_image"])
            return now.keep(self.scheduler, schedule.timesteps, step, after)

        start = Inpainting(first, noise, original, 1 - kept, None)
        denoised = self._denoise(
            tensors,
            self._predictor(tensors, lambda: (tensors["masked_image"], tensors["mask_image"])),
            schedule,
            reports,
            eta=0.0,
            generator=generator,
            keep=keep if self._blends else None,
        )

        # 5. Put the original back, in case a callback changed what surrounds the mask
        return keep(len(schedule.timesteps) - 1, None, denoised) if self._blends else denoised
