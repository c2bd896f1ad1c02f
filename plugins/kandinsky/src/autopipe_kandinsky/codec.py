"""MoVQ, the autoencoder of the decoders, whose latents are not scaled (arXiv:2209.09002)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autopipe_components.steps.codec import VaeCodec


class MovqCodec(VaeCodec):
    """The latents of a `VQModel` before quantisation: deterministic and not scaled."""

    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return latents of `image`, in its dtype."""
        latents: Tensor = self.vae.encode(image.to(self.vae.dtype)).latents
        return latents.to(image)

    def decode_with(self, vae: Any, latents: Tensor) -> Tensor:
        image: Tensor = vae.decode(latents.to(vae.dtype), force_not_quantize=True).sample
        return image
