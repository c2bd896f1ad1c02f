"""Pictures of latents without decoding them, for showing progress.

The colour of a latent cell is close to linear in its channels. The coefficients are fitted to each
autoencoder itself: it encodes two pictures of flat colours, and the least squares between latents
and colours of their cells are kept with it. So no autoencoder needs published numbers.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autopipe.attaching.network_view import origin_of

from ..image_processor import VaeImageProcessor
from ..networks.autoencoder_tiny import AutoencoderTiny
from ..networks.vae import check_channels
from ..steps.codec import Codec, VaeCodec

if TYPE_CHECKING:
    from PIL.Image import Image

_CELLS = 32
"""Height and width, in latent cells, of the pictures that are encoded for the fit."""

_fitted: weakref.WeakKeyDictionary[Any, Tensor] = weakref.WeakKeyDictionary()
"""The coefficients, (channels + 1, 3), of each autoencoder."""


class Previewing:
    """A pipeline with a codec that shows latents."""

    if TYPE_CHECKING:

        @property
        def codec(self) -> Codec:
            """The codec of the pipeline."""

        @property
        def image_processor(self) -> VaeImageProcessor:
            """The processor that converts tensors to images."""

    @torch.no_grad()
    def preview(self, latents: Tensor, vae: Any = None) -> list[Image]:
        """Return what latents show, without decoding them: for showing progress in a callback.

        By default colours are a linear function of the latents, which is fitted to the autoencoder
        at the first use: two small pictures are encoded for it. A tiny autoencoder shows more.

        Args:
            latents: (B, C, h, w), of any step; noise appears as noise.
            vae: an autoencoder that decodes them instead, such as an `AutoencoderTiny`; by default
                that of the pipeline if it is one.

        Returns:
            B pictures, of the size that decoding gives.

        Raises:
            ArgumentError: if there is no autoencoder, or `latents` have another shape.
        """
        codec = self.codec
        check_channels("latents", latents, codec.channels)
        own = getattr(codec, "vae", None)
        if vae is None and isinstance(own, AutoencoderTiny):
            vae = own
        if vae is None:
            pixels = F.interpolate(
                pixels_of(latents, codec, own), scale_factor=codec.factor, mode="bilinear"
            )
        else:
            pixels = VaeCodec(vae).decode(without_noise(latents).to(latents.dtype))
        # Further channels, such as a depth, aren't colours.
        colours = pixels[:, :3].float()
        shown: list[Image] = self.image_processor.postprocess(colours, output_type="pil")
        return shown


def pixels_of(latents: Tensor, codec: Codec, autoencoder: Any) -> Tensor:
    """Return approximate pixels (B, 3, h, w) in [-1, 1] of latents (B, C, h, w).

    Args:
        autoencoder: the network of the codec, with which the coefficients are kept; None to fit
            them for this call.
    """
    key = origin_of(autoencoder)
    matrix = None if key is None else _fitted.get(key)
    if matrix is None:
        matrix = _fit(codec, latents)
        if key is not None:
            _fitted[key] = matrix
    matrix = matrix.to(latents.device)
    colours: Tensor = torch.einsum("bchw,cr->brhw", without_noise(latents), matrix[:-1])
    return (colours + matrix[-1][:, None, None]).clamp(-1, 1)


def without_noise(latents: Tensor) -> Tensor:
    """Return latents in float32, each scaled down to a deviation of at most 1.

    Without noise latents have about that; with some schedulers they grow with the noise.
    """
    latents = latents.float()
    return latents / latents.std(dim=(1, 2, 3), keepdim=True).clamp(min=1)


def _fit(codec: Codec, like: Tensor) -> Tensor:
    source = torch.Generator().manual_seed(0)
    side = _CELLS * codec.factor
    # Patches of random colours in two sizes, many of them saturated, as pictures have.
    patches = [(4 * torch.rand(1, 3, n, n, generator=source) - 2).clamp(-1, 1) for n in (4, 8)]
    picture = torch.cat([F.interpolate(one, size=(side, side)) for one in patches])
    latents = codec.encode(picture.to(like), source).float().cpu()
    cells = F.avg_pool2d(picture, codec.factor).permute(0, 2, 3, 1).reshape(-1, 3)
    rows = latents.permute(0, 2, 3, 1).reshape(len(cells), -1)
    found: Tensor = torch.linalg.lstsq(F.pad(rows, (0, 1), value=1.0), cells).solution
    return found
