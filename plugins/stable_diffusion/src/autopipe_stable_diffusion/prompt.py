"""From texts to the hidden states of CLIP's text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe_components.steps.prompt import (
    check_clip_skip,
    check_encoder,
    distinct_texts,
    text_length,
    tokenize,
)


def encode_text(
    tokenizer: Any,
    encoder: Any,
    texts: Sequence[str],
    *,
    device: torch.device | str,
    length: int | None = None,
    clip_skip: int | None = None,
) -> Tensor:
    """The last hidden states (B, length, D) of `texts`; equal texts are encoded once.

    Not thread-safe: the tokenizer's lock is to be held.

    Args:
        length: in tokens; what the tokenizer has if absent. Longer texts are cut, with a warning.
        clip_skip: leave out so many of the last layers; the final norm stays.
    """
    distinct, positions = distinct_texts(texts)
    ids, mask = tokenize(tokenizer, distinct, length or text_length(tokenizer, encoder))
    masked = getattr(encoder.config, "use_attention_mask", False)
    output = encoder(
        ids.to(device),
        attention_mask=mask.to(device) if masked else None,
        output_hidden_states=bool(clip_skip),
    )
    embeds: Tensor = output.last_hidden_state
    if clip_skip:
        # Older transformers keep the layers of the text model in a module of their own.
        norm = getattr(encoder, "text_model", encoder).final_layer_norm
        embeds = norm(output.hidden_states[-(clip_skip + 1)])
    return embeds if len(distinct) == len(texts) else embeds[positions]


def check_encoding(encoder: Any, tokenizer: Any, clip_skip: int | None) -> None:
    """Refuse texts without an encoder for them, and to leave out more layers than it has.

    Raises:
        ArgumentTypeError: `clip_skip` is not a whole number.
        ArgumentError: it is negative or too large, or a component is absent.
    """
    check_encoder(encoder, tokenizer)
    check_clip_skip(clip_skip, encoder.config.num_hidden_layers)
