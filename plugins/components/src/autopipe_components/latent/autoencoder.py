"""The autoencoder of a pipeline: sizes, encoding, decoding and memory."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from ..guided import GuidedPipeline
from ..image_processor import VaeImageProcessor, mask_processor
from ..steps.checks import check_components
from ..steps.codec import Codec, NoCodec, VaeCodec, are_latents, channels_of_latents
from .preview import Previewing

if TYPE_CHECKING:
    from ..networks.autoencoder_kl import AutoencoderKL


class AutoencoderPipeline(Previewing, GuidedPipeline):
    """A pipeline that denoises the latents of an autoencoder, by default the component `vae`."""

    autoencoder_name: ClassVar[str] = "vae"
    """The name of the component that is the autoencoder, such as `vqvae` in older checkpoints."""

    upcasts_vae: ClassVar[bool] = False
    """Whether to respect `force_upcast` in the config of the autoencoder: float16 models then
    decode, and half-precision models encode, in float32. False by default."""

    vae: AutoencoderKL

    @property
    def autoencoder(self) -> Any:
        """The autoencoder, or None; see `autoencoder_name`."""
        return getattr(self, self.autoencoder_name)

    @cached_property
    def vae_scale_factor(self) -> int:
        """The number of pixels per latent cell, along each axis."""
        return self.codec.factor

    @cached_property
    def image_processor(self) -> VaeImageProcessor:
        """The processor that converts images to tensors and back."""
        # Converted to RGB, since an image with alpha has four channels, as latents have.
        return VaeImageProcessor(
            vae_scale_factor=self.vae_scale_factor,
            vae_latent_channels=self.codec.channels,
            do_convert_rgb=True,
        )

    @cached_property
    def mask_processor(self) -> VaeImageProcessor:
        """The processor that converts images to masks with one channel, 0 or 1."""
        return mask_processor(self.vae_scale_factor)

    # Pixels, latents and their sizes

    @property
    def codec(self) -> Codec:
        """The codec of the pipeline; by default `VaeCodec`, or `NoCodec` without autoencoder."""
        if self.autoencoder is None:
            return NoCodec(self.autoencoder_name, channels_of_latents(self.denoiser.config))
        return VaeCodec(self.autoencoder, upcasts=self.upcasts_vae)

    def latent_shape(self, batch_size: int, height: int, width: int) -> tuple[int, ...]:
        """Return the shape (`batch_size`, C, h, w) of latents of images of this size in pixels."""
        factor = self.vae_scale_factor
        return (batch_size, self.codec.channels, height // factor, width // factor)

    def network_sizes(self, height: int, width: int) -> list[tuple[Any, int, int]]:
        works = super().network_sizes(height, width)
        factor = self.vae_scale_factor
        decodes = self.call.output_type != "latent"
        return [*works, (self.autoencoder, height * factor, width * factor)] if decodes else works

    def check_image_memory(self, batch_size: int, height: int, width: int) -> None:
        """Call `check_sample_memory` for a height and width in pixels."""
        factor = self.vae_scale_factor
        self.check_sample_memory(batch_size, height // factor, width // factor)

    def size_in_pixels(self, image: Tensor) -> tuple[int, int]:
        """Return height and width in pixels of the result that starts from `image`.

        Args:
            image: latents (N, C, h, w), or pixels (N, 3, H, W), which are rounded down to
                multiples of `vae_scale_factor`.
        """
        factor = self.vae_scale_factor
        height, width = image.shape[-2:]
        if are_latents(self.codec, image):
            return height * factor, width * factor
        return height - height % factor, width - width % factor

    # Memory of the autoencoder

    def enable_vae_slicing(self) -> None:
        """Decode and encode one image at a time, which saves memory for batches."""
        check_components(self, (self.autoencoder_name,))
        self.autoencoder.enable_slicing()

    def disable_vae_slicing(self) -> None:
        """Undo `enable_vae_slicing`."""
        check_components(self, (self.autoencoder_name,))
        self.autoencoder.disable_slicing()

    def enable_vae_tiling(self) -> None:
        """Decode and encode in overlapping tiles, which saves memory for large images."""
        check_components(self, (self.autoencoder_name,))
        self.autoencoder.enable_tiling()

    def disable_vae_tiling(self) -> None:
        """Undo `enable_vae_tiling`."""
        check_components(self, (self.autoencoder_name,))
        self.autoencoder.disable_tiling()
