"""Families whose network sees tokens, each of them a square of latent cells."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..dit.rotary import grid_positions
from ..image_processor import VaeImageProcessor, mask_processor
from ..steps.checks import check_network_channels
from .steps import LatentPipeline

if TYPE_CHECKING:
    from PIL.Image import Image

_Result = TypeVar("_Result")


class WholeTokens(LatentPipeline[_Result]):
    """A family whose network sees each square of latent cells as one token.

    Images consist of whole tokens. Their height and width are known before the image is read, so in
    image to image `resizes_image` is True.
    """

    patch: ClassVar[int] = 2
    """The number of latent cells along each side of a token."""

    resizes_image = True

    @property
    def token_side(self) -> int:
        return self.patch

    @property
    def size_unit(self) -> int:
        return self.vae_scale_factor * self.patch

    @cached_property
    def image_processor(self) -> VaeImageProcessor:
        return VaeImageProcessor(
            vae_scale_factor=self.size_unit,
            vae_latent_channels=self.codec.channels,
            do_convert_rgb=True,
        )

    @cached_property
    def mask_processor(self) -> VaeImageProcessor:
        return mask_processor(self.size_unit)


class PackedLatents(WholeTokens[_Result]):
    """A family whose network takes and returns tokens (B, N, C * patch * patch).

    The loop has them too, so step callbacks, the argument `latents` and the output type "latent"
    do.
    """

    @property
    def denoiser_in_channels(self) -> int:
        return int(self.denoiser.config.in_channels) // self.patch**2

    def check_denoiser(self) -> None:
        # As tokens, mask and masked image couldn't follow the latents along the channels.
        check_network_channels(self.denoiser_in_channels, self.codec.channels)

    def pack(self, latents: Tensor) -> Tensor:
        tokens: Tensor = F.pixel_unshuffle(latents, self.patch)
        return tokens.flatten(2).transpose(1, 2)

    def pack_mask(self, mask: Tensor) -> Tensor:
        return self.pack(mask.expand(-1, self.codec.channels, -1, -1))

    def unpack(self, latents: Tensor) -> Tensor:
        height, width = (side // self.size_unit for side in self.image_size)
        cells = latents.transpose(1, 2).unflatten(2, (height, width))  # type: ignore[no-untyped-call]
        return F.pixel_shuffle(cells, self.patch)

    def packed_shape(self, batch_size: int) -> tuple[int, ...]:
        rows, channels, height, width = self.latent_shape(batch_size, *self.image_size)
        cells = self.patch**2
        return rows, height * width // cells, channels * cells

    def preview(self, latents: Tensor, vae: Any = None) -> list[Image]:
        return super().preview(self.unpack(latents) if latents.ndim == 3 else latents, vae)

    # For programs with their own loop, by the names of diffusers

    @staticmethod
    def _prepare_latent_image_ids(
        batch_size: int, height: int, width: int, device: Any, dtype: torch.dtype
    ) -> Tensor:
        """Return the positions (height * width, 3) of tokens.

        Args:
            batch_size: has no effect.
            height, width: the number of tokens along each axis.
        """
        return grid_positions((1, height, width), device=device).to(dtype)

    @staticmethod
    def _pack_latents(
        latents: Tensor, batch_size: int, num_channels_latents: int, height: int, width: int
    ) -> Tensor:
        """Return latents as tokens (B, N, 4 * C).

        Args:
            latents: of this shape: (`batch_size`, `num_channels_latents`, `height`, `width`).
        """
        cells = latents.reshape(batch_size, num_channels_latents, height, width)
        return F.pixel_unshuffle(cells, 2).flatten(2).transpose(1, 2)

    @staticmethod
    def _unpack_latents(latents: Tensor, height: int, width: int, vae_scale_factor: int) -> Tensor:
        """Return latents (B, C, h, w) of tokens.

        Args:
            height, width: the size of the image in pixels.
            vae_scale_factor: the number of pixels per cell.
        """
        rows, columns = (int(side) // (2 * vae_scale_factor) for side in (height, width))
        return F.pixel_shuffle(torch.unflatten(latents.transpose(1, 2), 2, (rows, columns)), 2)
