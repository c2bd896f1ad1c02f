"""What guidance leads away from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ConfigError
from autopipe.modeling import ModelMixin
from autopipe.values import Range
from autopipe_components.networks.limits import LIMITS, WIDTH


class LearnedClassifierFreeSamplingEmbeddings(ModelMixin):
    """The learned embeddings of no text (Tang et al. 2022, arXiv:2205.16007).

    Args:
        learnable: whether there are any; if not, the empty text is encoded in their place.
        hidden_size, length: their width and their number of tokens.

    Raises:
        ConfigError: if there are some, and a size is missing.
    """

    config_limits: ClassVar[Mapping[str, Range]] = {
        **LIMITS,
        "hidden_size": WIDTH,
        "length": Range(1, 1 << 16),
    }

    @register_to_config
    def __init__(
        self, learnable: bool, hidden_size: int | None = None, length: int | None = None
    ) -> None:
        super().__init__()
        self.learnable = learnable
        if learnable and (hidden_size is None or length is None):
            raise ConfigError(
                f"learnable is True with hidden_size {hidden_size} and length {length}; give both"
            )
        # Without any, checkpoints hold an empty tensor.
        shape = (length or 0, hidden_size or 0) if learnable else (0,)
        self.embeddings = nn.Parameter(torch.zeros(shape))

    def forward(self, count: int) -> Tensor:
        """Return the embeddings for `count` texts, (count, length, hidden_size)."""
        return self.embeddings.expand(count, -1, -1)
