"""Encodes texts with CLIP, which gives one vector, and with T5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.pipeline.turns import guard
from autopipe_components.steps.prompt import distinct_texts, tokenize
from autopipe_components.steps.tokens import Text


def encode_pooled(tokenizer: Any, encoder: Any, texts: Sequence[Text], *, device: Any) -> Tensor:
    """Return one vector for each text, (B, P), by CLIP."""
    ids, positions = _tokens(tokenizer, texts, int(tokenizer.model_max_length))
    pooled: Tensor = encoder(ids.to(device)).pooler_output
    return pooled[positions]


def encode_states(
    tokenizer: Any, encoder: Any, texts: Sequence[Text], *, device: Any, length: int
) -> Tensor:
    """Return the states of all tokens, padding included, (B, `length`, D), by T5."""
    ids, positions = _tokens(tokenizer, texts, length)
    states: Tensor = encoder(ids.to(device))[0]
    return states[positions]


def _tokens(tokenizer: Any, texts: Sequence[Text], length: int) -> tuple[Tensor, list[int]]:
    distinct, positions = distinct_texts(texts)
    with guard(tokenizer):
        ids, _ = tokenize(tokenizer, distinct, length)
    return ids, positions


def text_positions(embeds: Tensor) -> Tensor:
    """Return the positions of the tokens of a text, (K, 3): all at the origin."""
    return torch.zeros(embeds.shape[1], 3, device=embeds.device, dtype=embeds.dtype)
