"""What the pipelines for super-resolution share: the small image, enlarged, as further channels."""

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
from autopipe_components.guided import Predict, Steering
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.checks import check_image, check_whole
from autopipe_components.steps.codec import check_spread
from autopipe_components.steps.guidance import double
from autopipe_components.steps.image2image import add_noise
from autopipe_components.steps.timesteps import Schedule

from ..pixels import CHANNELS, make_pixels
from ..steps import IFSteps, Start


class SuperResolutionSteps(IFSteps):
    """The components of a stage that enlarges, and the steps that its pipelines take.

    The U-Net sees the enlarged image beside what is denoised, and gets the level of the noise on
    it as a class label: noise conditioning augmentation (arXiv 2106.15282, section 3.2).

    Args:
        image_noising_scheduler: a scheduler that puts noise on the enlarged image. The other
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
    """The class that goes on with what the first stage has made, by the task of that."""

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

    # Steps of a call, in their order

    def prepare_start(self) -> Start:
        """As of the task, and then the image to enlarge."""
        start = super().prepare_start()
        small = self._small_pixels()

        def start_and_enlarge(tensors: Tensors, schedule: Schedule) -> None:
            start(tensors, schedule)
            self._enlarge(small, tensors)

        return start_and_enlarge

    def _original(self) -> tuple[str, ImageInput]:
        """For tasks that start from an image: `image` is the one to enlarge."""
        return "original_image", self.call.original_image

    def _small_pixels(self) -> Tensor:
        """The image to enlarge (N, 3, h, w).

        Raises:
            ArgumentError, ArgumentTypeError: it can't be used, or `noise_level` can't.
        """
        check_image(self.call.image)
        levels = self.image_noising_scheduler.config.num_train_timesteps
        noise_level = self.call.noise_level
        check_whole("noise_level", noise_level)
        if not 0 <= noise_level < levels:
            raise ArgumentError(f"noise_level is {noise_level}; give 0 to {levels - 1}")
        pixels = make_pixels(self.call.image)
        check_spread(pixels, self._prompts, "images")
        return pixels

    def preprocess_image(
        self, image: ImageInput, num_images_per_prompt: int, device: torch.device | str
    ) -> Tensor:
        """The image to enlarge as (B, 3, h, w) in [-1, 1], repeated for each image of a prompt."""
        pixels = make_pixels(image).to(device=device, dtype=self.unet.dtype)
        return pixels.repeat_interleave(num_images_per_prompt, dim=0)

    def _enlarge(self, small: Tensor, tensors: Tensors) -> None:
        """Put `small`, enlarged to the latents and noised, and its noise level into `tensors`."""
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
        self,
        tensors: Tensors,
        extra_channels: Callable[[], Sequence[Tensor]] = tuple,
        steering: Steering | None = None,
    ) -> Predict:
        def channels() -> Sequence[Tensor]:
            return [double(tensors["upscaled"]), *extra_channels()]

        return super().make_predictor(tensors, channels, steering)
