"""Encodes prompts with CLIP's text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe_components.steps.prompt import distinct_texts, text_length, tokenize
from autopipe_components.steps.tokens import Text, hiding_mask


def encode_text(
    tokenizer: Any,
    encoder: Any,
    texts: Sequence[Text],
    *,
    device: torch.device | str,
    length: int | None = None,
    clip_skip: int | None = None,
    field: str = "last_hidden_state",
) -> Tensor:
    """Return the last hidden states (B, length, D) of `texts`; equal texts are encoded once.

    Not thread-safe: the caller must hold the tokenizer's lock.

    Args:
        length: the length in tokens; by default that of the tokenizer. Longer texts are truncated
            with a warning.
        clip_skip: the number of last layers to skip; the final norm is applied.
        field: the field of the encoder's output that holds the states.
    """
    distinct, positions = distinct_texts(texts)
    ids, padding = tokenize(tokenizer, distinct, length or text_length(tokenizer, encoder))
    masked = getattr(encoder.config, "use_attention_mask", False)
    mask = padding if masked else hiding_mask(distinct, ids.shape[1])
    output = encoder(
        ids.to(device),
        attention_mask=None if mask is None else mask.to(device),
        output_hidden_states=bool(clip_skip),
    )
    embeds: Tensor = getattr(output, field)
    if clip_skip:
        # Older releases of transformers have the layers in a submodule.
        norm = getattr(encoder, "text_model", encoder).final_layer_norm
        embeds = norm(output.hidden_states[-(clip_skip + 1)])
    return embeds if len(distinct) == len(texts) else embeds[positions]
