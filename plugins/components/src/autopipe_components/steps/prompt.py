"""From texts to tokens, and from prompts to the embeddings of both halves of guidance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.wording import logger

from .checks import (
    Prompt,
    batch_size_of,
    check_images_per_prompt,
    check_negative_prompt,
    check_prompt,
    check_whole,
)

Encode: TypeAlias = Callable[[list[str], int | None], Tensor]
"""`(texts, length) -> embeddings` (B, length, D); prompts come without a length in tokens, and
negative prompts with that of the prompts."""

_log = logger(__name__)

_CHARACTERS = 200
"""Characters for each token, in which a text is sure to have as many tokens as are read."""

_SHOWN = 80
"""Characters of what was cut off that a warning shows."""


def distinct_texts(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """Each text once, and for each of `texts` its place among those."""
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return list(places), [places[text] for text in texts]


def text_length(tokenizer: Any, encoder: Any) -> int:
    """How many tokens `encoder` reads: those that its tokenizer names, or all that it has room for.

    Where a tokenizer's config doesn't say, transformers makes it a number beyond all sense.
    """
    return int(min(tokenizer.model_max_length, encoder.config.max_position_embeddings))


def tokenize(tokenizer: Any, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask (B, length), with a warning of how what was cut off begins.

    Not thread-safe: the tokenizer's lock is to be held.
    """
    heads = [_head(text, length) for text in texts]

    def tokenized(texts: list[str]) -> Any:
        return tokenizer(
            texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )

    tokens = tokenized(heads)
    full = tokens.attention_mask[:, -1].tolist()
    if not all(last or head == text for last, head, text in zip(full, heads, texts)):
        # What is little else but white space: its tokens may come later.
        heads = list(texts)
        tokens = tokenized(heads)
        full = tokens.attention_mask[:, -1].tolist()
    # Only where the last position holds no padding can something have been cut.
    for head, last in zip(heads, full):
        cut = tokenizer(head, verbose=False).input_ids[length - 1 : -1] if last else None
        if cut:
            lost = tokenizer.decode(cut[:_SHOWN])[:_SHOWN]
            _log.warning("the text encoder reads %d tokens; it did not get %r", length, lost)
    return tokens.input_ids, tokens.attention_mask


def _head(text: str, length: int) -> str:
    """The beginning of `text`, up to a space, with many times as many characters as tokens."""
    most = length * _CHARACTERS
    if len(text) <= most:
        return text
    space = text.rfind(" ", most // 2, most)
    return text[: most if space < 0 else space]


def check_clip_skip(clip_skip: int | None, layers: int) -> None:
    """Refuse to leave out more layers than a text encoder of so many `layers` can spare.

    Raises:
        ArgumentTypeError: it is not a whole number.
        ArgumentError: it is negative or too large.
    """
    if clip_skip is None:
        return
    check_whole("clip_skip", clip_skip)
    if not 0 <= clip_skip <= layers:
        raise ArgumentError(
            f"clip_skip is {clip_skip}; the text encoder has {layers} layers to spare, so give "
            f"0 to {layers}"
        )


def check_encoder(encoder: Any, tokenizer: Any) -> None:
    """Refuse texts without an encoder for them.

    Raises:
        ArgumentError: one of both is absent.
    """
    if encoder is None or tokenizer is None:
        raise ArgumentError(
            "this pipeline has no text encoder or no tokenizer, so it can't read texts; give "
            "prompt_embeds and, under guidance, negative_prompt_embeds"
        )


def embed_prompts(
    encode: Encode,
    prompt: Prompt | None,
    negative_prompt: Prompt | None,
    prompt_embeds: Tensor | None,
    negative_prompt_embeds: Tensor | None,
    *,
    guided: bool,
    num_images_per_prompt: int,
    device: torch.device | str,
    dtype: torch.dtype | None,
) -> tuple[Tensor, Tensor | None]:
    """The embeddings (B, K, D) of prompt and negative prompt, each repeated for its images.

    Args:
        prompt_embeds, negative_prompt_embeds: used instead of encoding a text.
        guided: False leaves the negative ones as they were given.
        device, dtype: what the embeddings are to be; None keeps the dtype.

    Raises:
        ArgumentError, ArgumentTypeError: the prompts contradict each other, or the number of
            images is none.
    """
    check_prompt(prompt, prompt_embeds, negative_prompt, negative_prompt_embeds)
    check_images_per_prompt(num_images_per_prompt)
    count = batch_size_of(prompt, prompt_embeds)

    def repeated(embeds: Tensor) -> Tensor:
        embeds = embeds.to(device=device, dtype=dtype)
        return embeds.repeat_interleave(num_images_per_prompt, dim=0)

    if prompt is not None:
        prompt_embeds = encode([prompt] if isinstance(prompt, str) else prompt, None)
    assert prompt_embeds is not None
    if not guided:
        return repeated(prompt_embeds), negative_prompt_embeds
    if negative_prompt_embeds is None:
        check_negative_prompt(negative_prompt, prompt, count)
        negative = negative_prompt or ""
        negative_prompt_embeds = encode(
            [negative] * count if isinstance(negative, str) else negative, prompt_embeds.shape[1]
        )
    return repeated(prompt_embeds), repeated(negative_prompt_embeds)


def join_halves(embeds: Tensor, negative: Tensor) -> Tensor:
    """(B, K, D) of prompts and of negative prompts -> (2B, K, D), the negative half first.

    Raises:
        ArgumentError: they have two shapes.
    """
    if negative.shape != embeds.shape:
        raise ArgumentError(
            f"the negative embeddings have shape {tuple(negative.shape)} and those of the prompt "
            f"{tuple(embeds.shape)}; make both of one shape"
        )
    return torch.cat([negative, embeds])
