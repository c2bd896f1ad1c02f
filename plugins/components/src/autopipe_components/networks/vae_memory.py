"""Settings of autoencoders that save memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Sliced(nn.Module):
    """An autoencoder that can work on one image of a batch at a time, and in tiles."""

    def __init__(self) -> None:
        super().__init__()
        self.use_slicing = False
        self.use_tiling = False

    def enable_slicing(self) -> None:
        """Encode and decode one image at a time: less memory, the same result."""
        self.use_slicing = True

    def disable_slicing(self) -> None:
        """Undo `enable_slicing`."""
        self.use_slicing = False

    def enable_tiling(self, use_tiling: bool = True) -> None:
        """Encode and decode large images in overlapping tiles, and blend them.

        Memory no longer grows with the image. Each tile is computed on its own, so colours and
        details can differ slightly.
        """
        self.use_tiling = use_tiling

    def disable_tiling(self) -> None:
        """Undo `enable_tiling`."""
        self.enable_tiling(False)

    def each_slice(self, work: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        """Return `work(batch)`, computed image by image if slicing is enabled."""
        if self.use_slicing and batch.shape[0] > 1:
            return torch.cat([work(one) for one in torch.split(batch, 1)])
        return work(batch)
