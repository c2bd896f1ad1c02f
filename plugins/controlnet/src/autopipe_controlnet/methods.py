"""Methods of pipelines with a ControlNet for programs with their own denoising loop."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from autopipe_components.image_processor import VaeImageProcessor
from autopipe_components.images.masks import Box
from autopipe_components.latent import LatentPipeline
from autopipe_components.steps.given import check_images_given
from autopipe_components.steps.guidance import double

from .control import check_one_scale, images_for, make_control, nets_of

_Result = TypeVar("_Result")

CONTROL = "controlnet_conditioning_scale control_guidance_start control_guidance_end"
DEFAULTS = {"controlnet_conditioning_scale": 1.0, "control_guidance_start": 0.0,
            "control_guidance_end": 1.0}  # fmt: skip


class ControlMethods(LatentPipeline[_Result]):
    """Methods for programs with their own denoising loop."""

    controlnet: Any

    @cached_property
    def control_image_processor(self) -> VaeImageProcessor:
        """Converts control images to tensors: RGB in [0, 1]."""
        return VaeImageProcessor(
            vae_scale_factor=self.vae_scale_factor,
            vae_latent_channels=0,
            do_convert_rgb=True,
            do_normalize=False,
        )

    def prepare_control_image(
        self,
        image: Any,
        width: int,
        height: int,
        batch_size: int,
        num_images_per_prompt: int,
        device: torch.device | str,
        dtype: torch.dtype,
        do_classifier_free_guidance: bool = False,
        guess_mode: bool = False,
        *,
        crops_coords: Box | None = None,
        resize_mode: str = "default",
    ) -> Tensor:
        """Return a control image as its network takes it: (B, C, height, width) in [0, 1].

        Args:
            image: one for all prompts, or one for each.
            batch_size: the number of images of the call: prompts times `num_images_per_prompt`.
            do_classifier_free_guidance: double the batch, unless in `guess_mode`.
            crops_coords, resize_mode: those of the image processor.

        Raises:
            ArgumentError: if the image is not valid.
            ArgumentTypeError: if the image has the wrong type.
        """
        how: dict[str, Any] = {"crops_coords": crops_coords, "resize_mode": resize_mode}
        pixels = self.control_image_processor.preprocess(image, height, width, **how).float()
        count = batch_size if len(pixels) == 1 else num_images_per_prompt
        pixels = pixels.repeat_interleave(count, dim=0).to(device=device, dtype=dtype)
        return double(pixels) if do_classifier_free_guidance and not guess_mode else pixels

    def check_image(self, image: Any, prompt: Any, prompt_embeds: Tensor | None) -> None:
        """Check control images: one for all prompts, or one for each.

        Raises:
            ArgumentTypeError: if `image` is neither an image nor a list of images.
            ArgumentError: if their number doesn't fit the prompts.
        """
        check_images_given("control image", image, prompt, prompt_embeds)

    def check_given_arguments(self, given: Mapping[str, Any]) -> None:
        super().check_given_arguments(given)
        for image in images_for(self.controlnet, given.get("image")):
            self.check_image(image, given.get("prompt"), given.get("prompt_embeds"))
        scale, start, end = (given[name] for name in CONTROL.split())
        check_one_scale(self.controlnet, scale)
        make_control(nets_of(self.controlnet), scale, start, end, guess=False)


class MaskedControlMethods(ControlMethods[_Result]):
    """Methods for inpainting, where the crop comes before guidance in the arguments."""

    def prepare_control_image(  # type: ignore[override]
        self,
        image: Any,
        width: int,
        height: int,
        batch_size: int,
        num_images_per_prompt: int,
        device: torch.device | str,
        dtype: torch.dtype,
        crops_coords: Box | None,
        resize_mode: str,
        do_classifier_free_guidance: bool = False,
        guess_mode: bool = False,
    ) -> Tensor:
        """Prepare a control image; see `ControlMethods.prepare_control_image`."""
        return super().prepare_control_image(
            image,
            width,
            height,
            batch_size,
            num_images_per_prompt,
            device,
            dtype,
            do_classifier_free_guidance,
            guess_mode,
            crops_coords=crops_coords,
            resize_mode=resize_mode,
        )
