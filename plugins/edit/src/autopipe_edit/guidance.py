"""Guidance by an instruction and by a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors
from autopipe_components.latent import LatentBesideImage
from autopipe_components.steps.checks import check_guidance
from autopipe_components.steps.codec import Generators, VaeCodec, are_latents, check_pixels, tile
from autopipe_components.steps.guidance import rescale_guided

_Result = TypeVar("_Result")


class GuidedByImage(LatentBesideImage[_Result]):
    """Editing a picture whose latents join the network's input.

    Each step under guidance predicts with the instruction and the picture, with the picture alone,
    and with neither; tensors have their parts in this order. "InstructPix2Pix: Learning to Follow
    Image Editing Instructions" (Brooks et al., 2023, arXiv:2211.09800, section 3.2.1).
    """

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "image_latents",
    )
    guided_halves = (1, 0, 0)
    negative_halves: ClassVar[Mapping[str, str]] = {}

    scales_image_latents: bool = False
    """Whether the latents of the picture are scaled as those that are denoised."""

    _image_guidance_scale: float = 1.5

    @property
    def image_guidance_scale(self) -> float:
        """How much of the picture to keep; below 1, there is no guidance."""
        return self._image_guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        return super().do_classifier_free_guidance and self.image_guidance_scale >= 1

    # Steps of a call, in order

    def prepare_batch(self, prompts: int) -> int:
        scale = self.call.image_guidance_scale
        try:
            check_guidance(scale)
        except ArgumentError as error:
            raise type(error)(f"image_{error}") from None
        self._image_guidance_scale = scale
        return super().prepare_batch(prompts)

    def check_beside(self, pixels: Tensor) -> None:
        check_pixels(self.codec, pixels)
        super().check_beside(pixels)

    def prepare_conditioning(self, height: int, width: int) -> Tensors:
        tensors = super().prepare_conditioning(height, width)
        if not self.do_classifier_free_guidance:
            return tensors
        found: Tensors = self.for_parts(tensors, len(tensors["prompt_embeds"]) // 2)
        return found

    def encode_beside(self, pixels: Tensor, batch_size: int) -> Tensors:
        guided, dtype, device = self.do_classifier_free_guidance, pixels.dtype, pixels.device
        latents = self.prepare_image_latents(pixels, batch_size, 1, dtype, device, guided)
        return {"image_latents": latents}

    def prepare_image_latents(
        self,
        image: Tensor,
        batch_size: int,
        num_images_per_prompt: int,
        dtype: torch.dtype,
        device: torch.device | str,
        do_classifier_free_guidance: bool,
        generator: Generators = None,
    ) -> Tensor:
        """Return the most probable latents of `image`, for each part of a step under guidance.

        Args:
            image: pixels (N, 3, H, W) in [-1, 1], or latents (N, C, h, w); N divides the batch.
            batch_size: the number of prompts; the batch is that times `num_images_per_prompt`.
            do_classifier_free_guidance: whether there are three parts, the last of which is zeros.
            generator: ignored: nothing is drawn.

        Raises:
            ArgumentError: if the number of images doesn't match the batch.
        """
        latents = image.to(device, dtype)
        if not are_latents(self.codec, latents):
            latents = VaeCodec(self.vae, upcasts=self.upcasts_vae).encode_mode(latents)
        if self.scales_image_latents:
            latents = latents * self.vae.config.scaling_factor
        latents = tile(latents, batch_size * num_images_per_prompt, "images")
        if not do_classifier_free_guidance:
            return latents
        return torch.cat([latents, latents, torch.zeros_like(latents)])

    def apply_guidance(self, prediction: Tensor, further: Tensor | None = None) -> Tensor:
        """Return the guided prediction (B, ...) from its three parts (3B, ...)."""
        whole, pictured, neither = prediction.chunk(3)
        guided = (
            neither
            + self.guidance_scale * (whole - pictured)
            + self.image_guidance_scale * (pictured - neither)
        )
        guided = guided if further is None else guided + further
        rescale = self.guidance_rescale
        return rescale_guided(guided, whole, rescale) if rescale > 0 else guided
