"""From texts to tokens, as CLIP's text encoders read them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError

_log = logging.getLogger(__name__)


def distinct_texts(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """Each text once, and for each of `texts` its place among those."""
    distinct = list(dict.fromkeys(texts))
    return distinct, [distinct.index(text) for text in texts]


def tokenize(tokenizer: Any, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask (B, length), with a warning of what was cut off.

    Not thread-safe: the tokenizer's lock is to be held.
    """
    tokens = tokenizer(
        list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )
    # Only where the last position holds no padding can something have been cut.
    for text, last in zip(texts, tokens.attention_mask[:, -1].tolist()):
        cut = tokenizer(text, verbose=False).input_ids[length - 1 : -1] if last else None
        if cut:
            _log.warning(
                "the text encoder reads %d tokens; it did not get %r", length, tokenizer.decode(cut)
            )
    return tokens.input_ids, tokens.attention_mask


def check_clip_skip(clip_skip: int | None, layers: int) -> None:
    """Refuse to leave out more layers than a text encoder of so many `layers` can spare.

    Raises:
        ArgumentTypeError: it is no whole number.
        ArgumentError: it is negative or too large.
    """
    if clip_skip is None:
        return
    if isinstance(clip_skip, bool) or not isinstance(clip_skip, int):
        raise ArgumentTypeError(f"clip_skip is a {type(clip_skip).__name__}; give a whole number")
    if not 0 <= clip_skip <= layers:
        raise ArgumentError(
            f"clip_skip is {clip_skip}; the text encoder has {layers} layers to spare, so give "
            f"0 to {layers}"
        )
