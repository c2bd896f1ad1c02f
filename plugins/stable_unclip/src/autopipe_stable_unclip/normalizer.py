"""The statistics of image embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.modeling import ModelMixin, entry_point
from autopipe_components.networks.limits import LIMITS


class StableUnCLIPImageNormalizer(ModelMixin):
    """Mean and standard deviation of CLIP's image embeddings, for noise of unit variance.

    Args:
        embedding_dim: the size of an embedding.
    """

    config_limits = LIMITS

    @register_to_config
    def __init__(self, embedding_dim: int = 768) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(1, embedding_dim))
        self.std = nn.Parameter(torch.ones(1, embedding_dim))

    @entry_point
    def scale(self, embeds: Tensor) -> Tensor:
        """Return embeddings (N, D) with zero mean and unit deviation."""
        scaled: Tensor = (embeds - self.mean.to(embeds)) / self.std.to(embeds)
        return scaled

    @entry_point
    def unscale(self, embeds: Tensor) -> Tensor:
        """Undo `scale`."""
        unscaled: Tensor = embeds * self.std.to(embeds) + self.mean.to(embeds)
        return unscaled
