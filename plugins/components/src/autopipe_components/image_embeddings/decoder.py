"""The decoder: from the embedding of an image to the image. What its tasks share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.loop import Tensors

from ..guided import GuidedPipeline
from ..image_processor import VaeImageProcessor
from ..stages.checks import check_size, check_tensor
from ..stages.codec import Generators, tile
from .codec import MovqCodec

Embeds: TypeAlias = Tensor | list[Tensor]
"""Embeddings (B, D), or a list of such."""

Result: TypeAlias = "ImagePipelineOutput | tuple[Any]"


class EmbeddingDecoder(GuidedPipeline):
    """Draws images of CLIP image embeddings with a U-Net, in the latents of a MoVQ.

    A family says what its U-Net gets by `_unet_inputs`.
    """

    model_cpu_offload_seq = "unet->movq"
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "image_embeds",
        "negative_image_embeds",
    )
    _tensors_as_decoded: ClassVar[bool] = True
    """Whether `output_type="pt"` gives pixels in [-1, 1], as the autoencoder does."""

    movq: Any

    _guidance_scale: float = 4.0

    @property
    def movq_scale_factor(self) -> int:
        """Pixels per latent cell, along each axis."""
        return self._codec.factor

    @cached_property
    def image_processor(self) -> VaeImageProcessor:
        """Makes tensors of images, and images of tensors."""
        return VaeImageProcessor(
            vae_scale_factor=self._codec.factor,
            vae_latent_channels=self._codec.channels,
            resample="bicubic",
            reducing_gap=1,
            do_convert_rgb=True,
        )

    @property
    def _codec(self) -> MovqCodec:
        return MovqCodec(self.movq)

    @property
    def _embedding_width(self) -> int:
        """What the U-Net takes of an image embedding."""
        raise NotImplementedError

    # Steps of a call, in their order

    def _start_call(
        self,
        image_embeds: Embeds,
        negative_image_embeds: Embeds | None,
        *,
        height: int,
        width: int,
        num_images_per_prompt: int,
        generator: Generators,
        guidance_scale: float,
        output_type: str | None,
    ) -> int:
        """Check what every call takes, set the state of the call, and return the number of rows.

        They are those of the embeddings; of each, `num_images_per_prompt` images are made.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used.
        """
        rows = len(self._rows("image_embeds", image_embeds))
        check_size(height, width, 1)
        self._open_call(
            rows,
            num_images_per_prompt=num_images_per_prompt,
            generator=generator,
            guidance_scale=guidance_scale,
            cross_attention_kwargs=None,
            output_type=output_type,
        )
        if self.do_classifier_free_guidance:
            negative = len(self._rows("negative_image_embeds", negative_image_embeds))
            if negative != rows:
                raise ArgumentError(
                    f"there are {rows} image_embeds and {negative} negative_image_embeds; give as "
                    f"many, as the prior returns them"
                )
        return rows

    def _rows(self, name: str, embeds: Embeds | None) -> Tensor:
        """`embeds` as one tensor (B, D)."""
        return joined(
            name, embeds, (self._embedding_width,), "give what the prior of this decoder returns"
        )

    def _condition(
        self,
        image_embeds: Embeds,
        negative_image_embeds: Embeds | None,
        num_images_per_prompt: int,
    ) -> Tensors:
        """The embeddings as tensors of the call; under guidance the negative half is first."""

        def repeated(name: str, embeds: Embeds | None) -> Tensor:
            rows = self._rows(name, embeds).repeat_interleave(num_images_per_prompt, dim=0)
            return rows.to(device=self._execution_device, dtype=self.unet.dtype)

        positive = repeated("image_embeds", image_embeds)
        if not self.do_classifier_free_guidance:
            return {"image_embeds": positive, "negative_image_embeds": negative_image_embeds}
        negative = repeated("negative_image_embeds", negative_image_embeds)
        return {
            "image_embeds": torch.cat([negative, positive]),
            "negative_image_embeds": negative,
        }

    def _latent_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in latent cells: pixels are rounded up to the factor's square."""
        factor = self._codec.factor
        return -(-height // factor**2) * factor, -(-width // factor**2) * factor

    def _returned(self, latents: Tensor, output_type: str, return_dict: bool) -> Result:
        """What a call gives back."""
        images: Any = latents
        if output_type != "latent":
            images = self._codec.decode(latents)
            if not (output_type == "pt" and self._tensors_as_decoded):
                images = self.image_processor.postprocess(images, output_type)
        return ImagePipelineOutput(images=images) if return_dict else (images,)


def joined(
    name: str, given: Tensor | Sequence[Tensor] | None, shape: tuple[int, ...], advice: str
) -> Tensor:
    """`given`, a tensor (N, *`shape`) or a list of such, as one tensor.

    Args:
        advice: what to do where it can't be used, for the error.

    Raises:
        ArgumentError, ArgumentTypeError: it is absent, or something else.
    """
    parts: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given]
    for part in parts or [None]:
        if part is None:
            raise ArgumentError(f"{name} is missing; {advice}")
        check_tensor(name, part)
        if tuple(part.shape[1:]) != shape or not len(part):
            wanted = ", ".join(map(str, ("batch", *shape)))
            raise ArgumentError(
                f"{name} has shape {tuple(part.shape)} and this call needs ({wanted}); {advice}"
            )
    return torch.cat(parts)


def spread(tensor: Tensor, rows: int, num_images_per_prompt: int, what: str) -> Tensor:
    """`tensor` (N, ...) for all images of a call: repeated for all rows, then for each image.

    Raises:
        ArgumentError: the number of rows is no multiple of N, which counts `what`.
    """
    return tile(tensor, rows, what).repeat_interleave(num_images_per_prompt, dim=0)
