"""Texts as token ids, for add-ons that choose the tokens themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """A text as token ids, which functions that encode texts take in place of a string.

    Attributes:
        ids: the token ids, with the special tokens around the text and without padding.
        hidden: the positions that no token attends to.
    """

    ids: tuple[int, ...]
    hidden: frozenset[int] = frozenset()

    def row(self, length: int) -> list[int]:
        """Return the attention mask: 0 at hidden positions and in the padding up to `length`."""
        shown = [int(place not in self.hidden) for place in range(len(self.ids))]
        return shown + [0] * (length - len(shown))


Text: TypeAlias = str | Tokens
"""A text, or its tokens."""


def tokenizer_of(component: str) -> str:
    """Return the name of the tokenizer of a text encoder: `tokenizer_2` for `text_encoder_2`."""
    return component.replace("text_encoder", "tokenizer")


def hiding_mask(texts: Sequence[Text], length: int) -> Tensor | None:
    """Return the mask (B, `length`) of the hidden positions, 0 at each; None if there are none.

    For encoders that attend to padding, too.
    """
    found = [one.hidden if isinstance(one, Tokens) else () for one in texts]
    if not any(found):
        return None
    mask = torch.ones(len(texts), length, dtype=torch.long)
    for row, hidden in zip(mask, found):
        row[list(hidden)] = 0
    return mask
