"""Beside an image: the loop starts from noise, and the network sees the image in every step."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors

from ..steps.checks import check_image
from ..steps.codec import check_spread
from ..steps.text2image import check_latents, start_from_noise
from .steps import LatentPipeline

_Result = TypeVar("_Result")


class LatentBesideImage(LatentPipeline[_Result]):
    """Denoises noise with a network that takes an image as further channels of its input.

    Upscalers do, and models that edit an image by an instruction. A family adds to the hooks of
    `LatentPipeline`:

        image_to_pixels       the image, as a tensor
        size_beside           height and width of the result
        channels_beside       how many channels the image adds
        check_beside          checks the image further
        encode_beside *       the channels, as tensors of the call; one of them is `image_latents`

    In the order of a call, noise that `encode_beside` draws comes before that of the latents.
    """

    def run_task(self) -> _Result:
        """Run a call: denoise pure noise beside an image, according to the prompt."""
        # 1. Check the arguments
        batch_size, call = self.begin_call(), self.call
        latents = call.get("latents")
        check_image(call.image)
        self.check_steps()
        callbacks = self.check_callbacks()

        # 2. Convert the image to pixels
        pixels = self.image_to_pixels(call.image)
        check_spread(pixels, batch_size, "images")
        height, width = self.size_beside(pixels)
        self.set_size(batch_size, height, width)
        self.check_beside(pixels)
        shape = self.latent_shape(batch_size, height, width)
        if latents is not None:
            check_latents(latents, shape)

        # 3. Make the schedule
        schedule = self.trim_end(self.make_schedule())

        # 4. Encode the prompt, and the image
        tensors = self.prepare_conditioning(height, width)
        dtype, device = self.latents_dtype(tensors), self._execution_device
        tensors |= self.encode_beside(pixels.to(device, dtype), batch_size)

        # 5. Start from noise
        tensors["latents"] = start_from_noise(
            shape,
            generator=call.get("generator"),
            dtype=dtype,
            device=device,
            init_noise_sigma=self.scheduler.init_noise_sigma,
            latents=latents,
        )

        # 6. Denoise
        denoised = self.denoise_latents(
            tensors, schedule, callbacks, extra_channels=lambda: [tensors["image_latents"]]
        )

        # 7. Decode the images
        return self.make_output(denoised)

    # Hooks of a family

    def size_beside(self, pixels: Tensor) -> tuple[int, int]:
        """Return height and width in pixels of the result; by default those of the image.

        Args:
            pixels: the result of `image_to_pixels`, (N, C, H, W).
        """
        return self.size_in_pixels(pixels)

    def channels_beside(self, pixels: Tensor) -> int:
        """Return the number of channels that the image adds; by default those of latents."""
        return self.codec.channels

    def check_beside(self, pixels: Tensor) -> None:
        """Check that the network takes the latents and the image together.

        Raises:
            ArgumentError: if it takes another number of channels.
        """
        own, further = self.codec.channels, self.channels_beside(pixels)
        if own + further != self.denoiser_in_channels:
            raise ArgumentError(
                f"this task gives the network {own} channels of latents and {further} of the "
                f"image, and it takes {self.denoiser_in_channels}; load a checkpoint whose network "
                f"was trained for this task, and give an image with as many channels"
            )

    def encode_beside(self, pixels: Tensor, batch_size: int) -> Tensors:
        """Return tensors of the call, of which `"image_latents"` joins the network's input.

        Its first axis is that of the conditioning: the batch, or under guidance every part of it.

        Args:
            pixels: the image (N, C, H, W) in the dtype of the latents; N divides `batch_size`.
        """
        raise NotImplementedError
