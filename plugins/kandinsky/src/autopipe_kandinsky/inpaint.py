"""A decoder that repaints a part of an image; its U-Net takes the mask and the masked image."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors
from autopipe_components.steps.callbacks import StepCallbacks
from autopipe_components.steps.checks import (
    check_components,
    check_image,
    check_steps,
    check_strength,
)
from autopipe_components.steps.codec import check_spread
from autopipe_components.steps.guidance import double
from autopipe_components.steps.inpaint import Inpainting, network_sees_mask
from autopipe_components.steps.text2image import check_latents, unit_noise

from .canvas import kept_of, pixels_of
from .decoder import EmbeddingDecoder, Start
from .methods import NoiseMethods


@dataclass(frozen=True)
class RepaintStart(Start):
    """The start of a call.

    Attributes:
        pixels: (N, 3, H, W), in [-1, 1].
        kept: the mask (M, 1, h, w) at the size of the latents, 1 where the image is kept.
    """

    pixels: Tensor
    kept: Tensor


class Repaint(NoiseMethods, EmbeddingDecoder):
    """Starts from noise inside a mask or, with a `strength` below 1, from the noised image."""

    _callback_tensor_inputs = (
        *EmbeddingDecoder._callback_tensor_inputs,
        "masked_image",
        "mask_image",
    )
    keeps_unmasked = True
    """Whether the original is restored outside the mask after each step."""

    def prepare_start(self, rows: int) -> Start:
        call = self.call
        check_components(self, ("movq",))
        check_image(call.image)
        check_image(call.mask_image, "mask_image")
        check_steps(call.num_inference_steps)
        check_strength(call.strength)
        if not network_sees_mask(self.unet.config.in_channels, self.codec.channels):
            raise ArgumentError(
                "this checkpoint's U-Net doesn't take a mask; load one for inpainting, such as a "
                "decoder-inpaint"
            )
        size = self.latent_size(call.height, call.width)
        if call.latents is not None:
            check_latents(call.latents, self._shape(rows, size))
        schedule = self.make_schedule(call.strength if call.strength < 1 else None)
        height, width = (side * self.codec.factor for side in size)
        pixels = pixels_of(call.image, height, width)
        kept = kept_of(call.mask_image, height, width, size)
        check_spread(pixels, rows, "images")
        check_spread(kept, rows, "masks")
        return RepaintStart(rows, size, schedule, pixels, kept)

    def _denoised(self, tensors: Tensors, start: Start, callbacks: StepCallbacks) -> Tensor:
        assert isinstance(start, RepaintStart)
        # 1. Encode the image
        device, dtype = self._execution_device, tensors["image_embeds"].dtype
        schedule = start.schedule

        def for_all(one: Tensor, what: str) -> Tensor:
            return self.repeat_for_batch(one.to(device=device, dtype=dtype), start.rows, what)

        original = self.codec.encode(start.pixels.to(device=device, dtype=dtype))
        original, kept = for_all(original, "images"), for_all(start.kept, "masks")

        # 2. Start from noise, or from the noised image
        noise = unit_noise(
            tuple(original.shape),
            generator=self.call.generator,
            dtype=dtype,
            device=device,
            given=self.call.latents,
        )
        first = noise * self.scheduler.init_noise_sigma
        if self.call.strength < 1:
            first = self.scheduler.add_noise(original, noise, schedule.timesteps[:1])
        guided = self.do_classifier_free_guidance
        tensors["latents"] = first
        tensors["mask_image"] = double(kept) if guided else kept
        tensors["masked_image"] = double(original * kept) if guided else original * kept

        # 3. Denoise
        def keep(step: int, timestep: Tensor | None, after: Tensor) -> Tensor:
            """Use the current mask, which a callback may have changed."""
            now = replace(repaint, mask=1 - tensors["mask_image"])
            return now.keep(self.scheduler, schedule.timesteps, step, after)

        repaint = Inpainting(first, noise, original, 1 - kept, None)
        denoised = self.denoise_latents(
            tensors,
            start,
            callbacks,
            lambda: (tensors["masked_image"], tensors["mask_image"]),
            keep if self.keeps_unmasked else None,
        )

        # 4. Restore the original, in case a callback changed the latents outside the mask
        if not self.keeps_unmasked:
            return denoised
        return keep(len(schedule.timesteps) - 1, None, denoised)
