"""Pictures of latents without decoding them, for showing progress.

The colour of a latent cell is close to linear in its channels. The coefficients are fitted to each
autoencoder itself: it encodes two pictures of flat colours, and the least squares between latents
and colours of their cells are kept with it. So no autoencoder needs published numbers.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autopipe.attaching.network_view import origin_of

from ..steps.codec import Codec

_CELLS = 32
"""Height and width, in latent cells, of the pictures that are encoded for the fit."""

_fitted: weakref.WeakKeyDictionary[Any, Tensor] = weakref.WeakKeyDictionary()
"""The coefficients, (channels + 1, 3), of each autoencoder."""


def pixels_of(latents: Tensor, codec: Codec, autoencoder: Any) -> Tensor:
    """Return approximate pixels (B, 3, h, w) in [-1, 1] of latents (B, C, h, w).

    Args:
        codec: of the `autoencoder`, for which the coefficients are kept.
    """
    key = origin_of(autoencoder)
    matrix = _fitted.get(key)
    if matrix is None:
        matrix = _fitted[key] = _fit(codec, latents)
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
