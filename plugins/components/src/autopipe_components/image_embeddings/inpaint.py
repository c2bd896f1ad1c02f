"""A decoder that repaints a part of an image; its U-Net sees the mask and the masked image."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors

from ..images.kinds import ImageInput
from ..stages.checks import check_image, check_steps, check_strength
from ..stages.codec import Generators, check_spread
from ..stages.guidance import double
from ..stages.inpaint import Inpainting, network_sees_mask
from ..stages.reports import Reports
from ..stages.text2image import check_latents, unit_noise
from ..stages.timesteps import Schedule, keep_tail, set_schedule
from .canvas import kept_of, pixels_of
from .decoder import EmbeddingDecoder, spread


@dataclass(frozen=True)
class RepaintStart:
    """What a call starts from.

    Attributes:
        schedule: the steps that are taken.
        pixels: (N, 3, H, W), in [-1, 1].
        kept: (M, 1, h, w) at the size of the latents, 1 where the image is kept, else 0.
        rows, num_images_per_prompt: for how many embeddings, and how often for each.
        strength: from 0 to 1, which is noise alone.
        latents: the caller's own noise (B, C, h, w).
    """

    schedule: Schedule
    pixels: Tensor
    kept: Tensor
    rows: int
    num_images_per_prompt: int
    strength: float
    latents: Tensor | None


class Repaint(EmbeddingDecoder):
    """The steps of a decoder that repaints a part of an image."""

    _callback_tensor_inputs = (
        *EmbeddingDecoder._callback_tensor_inputs,
        "masked_image",
        "mask_image",
    )
    _blends = True
    """Whether the original is put back outside the mask after each step."""

    def _prepare(
        self,
        rows: int,
        num_images_per_prompt: int,
        image: ImageInput,
        mask_image: ImageInput,
        *,
        height: int,
        width: int,
        num_inference_steps: int,
        strength: float,
        latents: Tensor | None,
    ) -> RepaintStart:
        """Lay out the steps and bring image and mask to their sizes; no network is used.

        Raises:
            ArgumentError, ArgumentTypeError, SchedulerError: an argument can't be used.
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
        size = self._latent_size(height, width)
        if latents is not None:
            batch_size = rows * num_images_per_prompt
            check_latents(latents, (batch_size, self._codec.channels, *size))
        schedule = set_schedule(
            self.scheduler, num_inference_steps=num_inference_steps, device=self._execution_device
        )
        if strength < 1:
            schedule = keep_tail(self.scheduler, steps=schedule.steps, strength=strength)
        height, width = (side * self._codec.factor for side in size)
        pixels = pixels_of(image, height, width)
        kept = kept_of(mask_image, height, width, size)
        check_spread(pixels, rows, "images")
        check_spread(kept, rows, "masks")
        return RepaintStart(schedule, pixels, kept, rows, num_images_per_prompt, strength, latents)

    def _draw(
        self, tensors: Tensors, start: RepaintStart, *, generator: Generators, reports: Reports
    ) -> Tensor:
        """The latents of the image, repainted where its mask is white."""
        # 1. Encode the image
        device, dtype = self._execution_device, tensors["image_embeds"].dtype
        schedule = start.schedule

        def for_all(one: Tensor, what: str) -> Tensor:
            one = one.to(device=device, dtype=dtype)
            return spread(one, start.rows, start.num_images_per_prompt, what)

        original = self._codec.encode(start.pixels.to(device=device, dtype=dtype))
        original, kept = for_all(original, "images"), for_all(start.kept, "masks")

        # 2. Start from noise, or from the noised image
        noise = unit_noise(
            tuple(original.shape),
            generator=generator,
            dtype=dtype,
            device=device,
            given=start.latents,
        )
        first = noise * self.scheduler.init_noise_sigma
        if start.strength < 1:
            first = self.scheduler.add_noise(original, noise, schedule.timesteps[:1])
        guided = self.do_classifier_free_guidance
        tensors["latents"] = first
        tensors["mask_image"] = double(kept) if guided else kept
        tensors["masked_image"] = double(original * kept) if guided else original * kept

        # 3. Denoise
        def keep(step: int, timestep: Tensor | None, after: Tensor) -> Tensor:
            """With the mask as it is now: a callback may have changed it."""
            now = replace(repaint, mask=1 - tensors["mask_image"])
            return now.keep(self.scheduler, schedule.timesteps, step, after)

        repaint = Inpainting(first, noise, original, 1 - kept, None)
        denoised = self._denoise(
            tensors,
            self._predictor(tensors, lambda: (tensors["masked_image"], tensors["mask_image"])),
            schedule,
            reports,
            eta=0.0,
            generator=generator,
            keep=keep if self._blends else None,
        )

        # 4. Put the original back, in case a callback changed what surrounds the mask
        return keep(len(schedule.timesteps) - 1, None, denoised) if self._blends else denoised
