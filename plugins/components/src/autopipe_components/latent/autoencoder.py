"""The autoencoder of a pipeline: its sizes, what goes in and comes out, and its memory."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

from ..guided import GuidedPipeline
from ..image_processor import VaeImageProcessor, mask_processor
from ..steps.checks import check_components
from ..steps.codec import Codec, NoCodec, VaeCodec, are_latents, channels_of_latents


class AutoencoderPipeline(GuidedPipeline):
    """A pipeline with an autoencoder, `vae`, in whose latents it works."""

    upcasts_vae: ClassVar[bool] = False
    """Whether the family heeds `force_upcast` of its autoencoder."""

    vae: Any

    @cached_property
    def vae_scale_factor(self) -> int:
        """Pixels per latent cell, along each axis."""
        return self.codec.factor

    @cached_property
    def image_processor(self) -> VaeImageProcessor:
        """Makes tensors of images, and images of tensors."""
        # Converted to RGB, since a fourth channel would make latents of a transparent image.
        return VaeImageProcessor(
            vae_scale_factor=self.vae_scale_factor,
            vae_latent_channels=self.codec.channels,
            do_convert_rgb=True,
        )

    @cached_property
    def mask_processor(self) -> VaeImageProcessor:
        """Makes masks of images: one channel, 0 or 1."""
        return mask_processor(self.vae_scale_factor)

    # Maps and sizes

    @property
    def codec(self) -> Codec:
        """Maps pixels to latents and back."""
        if self.vae is None:
            return NoCodec("vae", channels_of_latents(self.denoiser.config))
        return VaeCodec(self.vae, upcasts=self.upcasts_vae)

    def latent_shape(self, batch_size: int, height: int, width: int) -> tuple[int, ...]:
        factor = self.vae_scale_factor
        return (batch_size, self.codec.channels, height // factor, width // factor)

    def network_sizes(self, height: int, width: int) -> list[tuple[Any, int, int]]:
        works = super().network_sizes(height, width)
        factor = self.vae_scale_factor
        decodes = self.call.output_type != "latent"
        return [*works, (self.vae, height * factor, width * factor)] if decodes else works

    def check_image_memory(self, batch_size: int, height: int, width: int) -> None:
        """`check_sample_memory`, with height and width in pixels."""
        factor = self.vae_scale_factor
        self.check_sample_memory(batch_size, height // factor, width // factor)

    def size_in_pixels(self, image: Tensor) -> tuple[int, int]:
        """Height and width of what latents show, given them, or pixels to be encoded."""
        factor = self.vae_scale_factor
        height, width = image.shape[-2:]
        if are_latents(self.codec, image):
            return height * factor, width * factor
        return height - height % factor, width - width % factor

    # Memory of the autoencoder

    def enable_vae_slicing(self) -> None:
        """Decode and encode one image at a time: less memory for batches."""
        check_components(self, ("vae",))
        self.vae.enable_slicing()

    def disable_vae_slicing(self) -> None:
        """Undo `enable_vae_slicing`."""
        check_components(self, ("vae",))
        self.vae.disable_slicing()

    def enable_vae_tiling(self) -> None:
        """Decode and encode in overlapping tiles: less memory for large images."""
        check_components(self, ("vae",))
        self.vae.enable_tiling()

    def disable_vae_tiling(self) -> None:
        """Undo `enable_vae_tiling`."""
        check_components(self, ("vae",))
        self.vae.disable_tiling()
