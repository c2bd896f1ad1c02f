"""Reads, replaces and resizes the token embeddings of an encoder."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError
from autopipe.wording import shown


class TokenEmbeddings(nn.Module):
    """Gives encoders access to the layer that embeds their input.

    Attributes:
        embedding_paths: the places of that layer in the network, which are the same object.
    """

    embedding_paths: ClassVar[tuple[str, ...]]

    def get_input_embeddings(self) -> nn.Module:
        """Return the layer that embeds tokens, or the patches of images."""
        return self.get_submodule(self.embedding_paths[0])

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the layer that embeds tokens, or the patches of images."""
        for path in self.embedding_paths:
            owner, _, name = path.rpartition(".")
            setattr(self.get_submodule(owner), name, value)

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
    ) -> nn.Embedding:
        """Change the number of tokens, and return the new layer.

        Known tokens keep their embeddings. The values of others are random.

        Args:
            new_num_tokens: the number of tokens; None keeps it.
            pad_to_multiple_of: the number is rounded up to a multiple of it.
            mean_resizing: draw new values with the mean and deviation of the known ones, not
                around zero.

        Raises:
            ArgumentError: if a number is below 1, or the encoder has no tokens.
        """
        old = self.get_input_embeddings()
        if not isinstance(old, nn.Embedding):
            raise ArgumentError(f"{type(self).__name__} encodes images, so it has no tokens")
        count = old.num_embeddings if new_num_tokens is None else new_num_tokens
        step = 1 if pad_to_multiple_of is None else pad_to_multiple_of
        for name, value in (("new_num_tokens", count), ("pad_to_multiple_of", step)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ArgumentError(f"{name} must be an integer of at least 1, not {shown(value)}")
        count = math.ceil(count / step) * step
        if count != old.num_embeddings:
            new = _resized(old, count, mean_resizing)
            self.set_input_embeddings(new)
            for module in self.modules():
                if "vocab_size" in getattr(module, "_config", {}):
                    registered: Any = module
                    registered.register_to_config(vocab_size=count)
            return new
        return old


@torch.no_grad()
def _resized(old: nn.Embedding, count: int, like_known: bool) -> nn.Embedding:
    known = old.weight[:count]
    padding = old.padding_idx if old.padding_idx is None or old.padding_idx < count else None
    weight = torch.empty(count, old.embedding_dim, dtype=known.dtype, device=known.device)
    weight[: len(known)] = known
    if count > len(known):
        mean, deviation = _spread(known.float()) if like_known else (0.0, 0.02)
        drawn = torch.randn(count - len(known), old.embedding_dim, device=known.device)
        weight[len(known) :] = drawn * deviation + mean
    new = nn.Embedding(count, old.embedding_dim, padding_idx=padding, _weight=weight)
    new.train(old.training)
    new.weight.requires_grad_(old.weight.requires_grad)
    return new


def _spread(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the deviation of each column."""
    return rows.mean(dim=0), rows.std(dim=0, correction=0)
