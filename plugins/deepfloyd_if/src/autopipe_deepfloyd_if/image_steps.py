"""What the pipelines share that start from an image, and those that repaint a part of it."""

from __future__ import annotations

from torch import Tensor

from autopipe.pipeline.loop import Tensors
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.checks import check_image, check_mask, check_strength
from autopipe_components.steps.codec import check_spread
from autopipe_components.steps.image2image import add_noise
from autopipe_components.steps.inpaint import blend, mask_to_latents
from autopipe_components.steps.timesteps import Schedule

from .pixels import make_mask, make_pixels
from .steps import IFSteps, Keep, Start


class IFImageSteps(IFSteps):
    """Starts from an image with noise on it."""

    def _prepare(self) -> Start:
        """As of `IFSteps`: the image, at the size of the result."""
        pixels = self._pixels()

        def start(tensors: Tensors, schedule: Schedule) -> None:
            tensors["latents"] = self._noised(self._spread(pixels, tensors), schedule)

        return start

    def _pixels(self) -> Tensor:
        """The image to start from (N, 3, H, W).

        Raises:
            ArgumentError, ArgumentTypeError: it can't be used, or `strength` can't.
        """
        name, image = self._original()
        check_image(image, name)
        check_strength(self.call.strength)
        pixels = make_pixels(image, self.unet.config.sample_size, name)
        self._check_size(*pixels.shape[-2:])
        check_spread(pixels, self._prompts, f"{name}s")
        return pixels

    def _original(self) -> tuple[str, ImageInput]:
        """The argument that is the image to start from: its name and itself."""
        return "image", self.call.image

    def _noised(self, clean: Tensor, schedule: Schedule) -> Tensor:
        """`clean` pixels (B, 3, H, W) with the noise of the first step."""
        return add_noise(
            self.scheduler, clean, timestep=schedule.timesteps[0], generator=self.call.generator
        )


class IFMaskSteps(IFImageSteps):
    """Starts from noise inside a mask; what is outside stays as it was, step for step."""

    _callback_tensor_inputs = (*IFImageSteps._callback_tensor_inputs, "mask")

    def _prepare(self) -> Start:
        """As of `IFSteps`: image and mask, at the size of the result."""
        pixels = self._pixels()
        mask = self._mask(pixels)

        def start(tensors: Tensors, schedule: Schedule) -> None:
            clean = self._spread(pixels, tensors)
            height, width = clean.shape[-2:]
            small = mask_to_latents(
                mask,
                (height, width),
                batch_size=self._prompts,
                dtype=clean.dtype,
                device=clean.device,
            )
            tensors["mask"] = small.repeat_interleave(self.call.num_images_per_prompt, dim=0)
            tensors["latents"] = blend(tensors["mask"], self._noised(clean, schedule), clean)

        return start

    def _mask(self, pixels: Tensor) -> Tensor:
        """The mask (M, 1, H, W) at the size of `pixels`.

        Raises:
            ArgumentError, ArgumentTypeError: it can't be used.
        """
        _, image = self._original()
        check_mask(image, self.call.mask_image)
        mask = make_mask(self.call.mask_image, *pixels.shape[-2:])
        check_spread(mask, self._prompts, "masks")
        return mask

    def _keep(self, tensors: Tensors) -> Keep:
        """Takes what is outside the mask from before the step."""
        return lambda step, timestep, after: blend(tensors["mask"], after, tensors["latents"])
