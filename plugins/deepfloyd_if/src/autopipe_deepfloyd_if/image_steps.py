"""What the pipelines share that start from an image, and those that repaint a part of it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from autopipe.pipeline.loop import Tensors
from autopipe_components.images.kinds import ImageInput
from autopipe_components.stages.checks import check_image, check_mask, check_strength
from autopipe_components.stages.codec import check_spread
from autopipe_components.stages.image2image import add_noise
from autopipe_components.stages.inpaint import blend, mask_to_latents
from autopipe_components.stages.timesteps import Schedule

from .call import Call
from .pixels import make_mask, make_pixels
from .steps import IFSteps


class IFImageSteps(IFSteps):
    """Starts from an image with noise on it."""

    def _pixels_of(
        self, image: ImageInput, call: Call, strength: float, name: str = "image"
    ) -> Tensor:
        """The image to start from (N, 3, H, W), at the size of the result.

        Raises:
            ArgumentError, ArgumentTypeError: it can't be used, or `strength` can't.
        """
        check_image(image, name)
        check_strength(strength)
        pixels = make_pixels(image, self.unet.config.sample_size)
        self._check_size(*pixels.shape[-2:])
        check_spread(pixels, call.prompts, f"{name}s")
        return pixels

    def _noised(self, clean: Tensor, schedule: Schedule, call: Call) -> Tensor:
        """`clean` pixels (B, 3, H, W) with the noise of the first step."""
        return add_noise(
            self.scheduler, clean, timestep=schedule.timesteps[0], generator=call.generator
        )


class IFMaskSteps(IFImageSteps):
    """Starts from noise inside a mask; what is outside stays as it was, step for step."""

    _callback_tensor_inputs = (*IFImageSteps._callback_tensor_inputs, "mask")

    def _mask_of(
        self, mask_image: ImageInput, image: ImageInput, pixels: Tensor, call: Call
    ) -> Tensor:
        """The mask (M, 1, H, W) at the size of the `pixels` that were made of `image`.

        Raises:
            ArgumentError, ArgumentTypeError: it can't be used.
        """
        check_mask(image, mask_image)
        mask = make_mask(mask_image, *pixels.shape[-2:])
        check_spread(mask, call.prompts, "masks")
        return mask

    def _start_inside(
        self, mask: Tensor, clean: Tensor, tensors: Tensors, schedule: Schedule, call: Call
    ) -> None:
        """Put mask and start into `tensors`: `clean` (B, 3, H, W), noised inside the mask."""
        height, width = clean.shape[-2:]
        small = mask_to_latents(
            mask,
            (height, width),
            batch_size=call.prompts,
            dtype=clean.dtype,
            device=clean.device,
        )
        tensors["mask"] = small.repeat_interleave(call.num_images_per_prompt, dim=0)
        tensors["latents"] = blend(tensors["mask"], self._noised(clean, schedule, call), clean)

    @staticmethod
    def _outside(tensors: Tensors) -> Callable[[int, Tensor, Tensor], Tensor]:
        """What the loop calls after each step: takes what is outside from before the step."""
        return lambda step, timestep, after: blend(tensors["mask"], after, tensors["latents"])
