"""The steps that pipelines for super-resolution share: the enlarged image as input channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.loop import Tensors
from autopipe.tasks import Task
from autopipe_components.guided import Predict
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.checks import check_image, check_whole
from autopipe_components.steps.codec import check_spread
from autopipe_components.steps.guidance import double
from autopipe_components.steps.image2image import add_noise
from autopipe_components.steps.timesteps import Schedule

from ..pixels import CHANNELS, make_pixels
from ..steps import IFSteps, Start


class SuperResolutionSteps(IFSteps):
    """The components of a super-resolution stage, and the steps that its pipelines share.

    The U-Net takes the noised, enlarged image as additional channels, and its noise level as a
    class label: noise conditioning augmentation (arXiv 2106.15282, section 3.2).

    Args:
        image_noising_scheduler: the scheduler that adds noise to the enlarged image. The other
            arguments are those of `IFSteps`.
    """

    required_components = (*IFSteps.required_components, "image_noising_scheduler")
    _callback_tensor_inputs = (*IFSteps._callback_tensor_inputs, "upscaled", "noise_level")
    denoiser_in_channels = 2 * CHANNELS

    cascade_classes: ClassVar[Mapping[Task, str]] = {
        Task.TEXT2IMAGE: "IFSuperResolutionPipeline",
        Task.IMAGE2IMAGE: "IFImg2ImgSuperResolutionPipeline",
        Task.INPAINT: "IFInpaintingSuperResolutionPipeline",
    }
    """The class of the next stage, by the task of the first stage."""

    image_noising_scheduler: Any

    _guidance_scale = 4.0

    def __init__(
        self,
        tokenizer: Processor,
        text_encoder: Network,
        unet: Network,
        scheduler: Scheduler,
        image_noising_scheduler: Scheduler,
        safety_checker: Network,
        feature_extractor: Processor,
        watermarker: Any,
        requires_safety_checker: bool = True,
    ) -> None:
        super().__init__(
            tokenizer,
            text_encoder,
            unet,
            scheduler,
            safety_checker,
            feature_extractor,
            watermarker,
            requires_safety_checker,
        )
        self.register_modules(image_noising_scheduler=image_noising_scheduler)

    # Steps of a call, in order

    def prepare_start(self) -> Start:
        """Check the arguments, and return the start, with the image to enlarge."""
        start = super().prepare_start()
        small = self._small_pixels()

        def start_and_enlarge(tensors: Tensors, schedule: Schedule) -> None:
            start(tensors, schedule)
            self._enlarge(small, tensors)

        return start_and_enlarge

    def _original(self) -> tuple[str, ImageInput]:
        """Return the name and value of `original_image`; `image` is the image to enlarge."""
        return "original_image", self.call.original_image

    def _small_pixels(self) -> Tensor:
        """Return the image to enlarge (N, 3, h, w).

        Raises:
            ArgumentError: if the image or `noise_level` is not valid.
            ArgumentTypeError: if the image has the wrong type.
        """
        check_image(self.call.image)
        levels = self.image_noising_scheduler.config.num_train_timesteps
        noise_level = self.call.noise_level
        check_whole("noise_level", noise_level)
        if not 0 <= noise_level < levels:
            raise ArgumentError(f"noise_level is {noise_level}; it must be from 0 to {levels - 1}")
        pixels = make_pixels(self.call.image)
        check_spread(pixels, self._prompts, "images")
        return pixels

    def preprocess_image(
        self, image: ImageInput, num_images_per_prompt: int, device: torch.device | str
    ) -> Tensor:
        """Return the image to enlarge as (B, 3, h, w) in [-1, 1], one for each output image."""
        pixels = make_pixels(image).to(device=device, dtype=self.unet.dtype)
        return pixels.repeat_interleave(num_images_per_prompt, dim=0)

    def _enlarge(self, small: Tensor, tensors: Tensors) -> None:
        """Add `small`, enlarged to the latents' size and noised, and its level to `tensors`."""
        large = interpolate(
            self._spread(small, tensors),
            size=tensors["latents"].shape[-2:],
            mode="bilinear",
            align_corners=True,
        )
        level = torch.tensor(self.call.noise_level, device=large.device)
        tensors["upscaled"] = add_noise(
            self.image_noising_scheduler, large, timestep=level, generator=self.call.generator
        )
        tensors["noise_level"] = level.repeat(len(tensors["prompt_embeds"]))

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {**super().denoiser_inputs(tensors), "class_labels": tensors["noise_level"]}

    def make_predictor(
        self, tensors: Tensors, extra_channels: Callable[[], Sequence[Tensor]] = tuple
    ) -> Predict:
        def channels() -> Sequence[Tensor]:
            return [double(tensors["upscaled"]), *extra_channels()]

        return super().make_predictor(tensors, channels)
