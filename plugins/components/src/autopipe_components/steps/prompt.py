"""Tokenizes texts, and encodes prompts and negative prompts as embeddings."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

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
    check_width,
)
from .tokens import Text, Tokens

_Text = TypeVar("_Text", bound=Text)

Encode: TypeAlias = Callable[[list[str], int | None], Tensor]
"""`(texts, length) -> embeddings` (B, length, D). For prompts `length` is None; for negative
prompts it is the number of tokens of the prompts."""

_log = logger(__name__)

_CHARACTERS = 200
"""The number of characters to tokenize per token; enough for nearly every text."""

_SHOWN = 80
"""The number of truncated characters that a warning shows."""


def distinct_texts(texts: Sequence[_Text]) -> tuple[list[_Text], list[int]]:
    """Return the distinct texts, and for each of `texts` its index among them."""
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return list(places), [places[text] for text in texts]


def text_length(tokenizer: Any, encoder: Any) -> int:
    """Return how many tokens `encoder` takes: the limit of its tokenizer or of its positions.

    transformers uses a huge number if the config of a tokenizer has no limit.
    """
    return int(min(tokenizer.model_max_length, encoder.config.max_position_embeddings))


def tokenize(tokenizer: Any, texts: Sequence[Text], length: int) -> tuple[Tensor, Tensor]:
    """Return token ids and attention mask (B, length); a warning shows the truncated text.

    Not thread-safe: hold the lock of the tokenizer.

    Raises:
        ArgumentError: if `Tokens` are more than `length`.
    """
    strings = [text for text in texts if isinstance(text, str)]
    if len(strings) == len(texts):
        return _tokenize(tokenizer, strings, length)
    ids = torch.full((len(texts), length), int(tokenizer.pad_token_id))
    mask = torch.zeros(len(texts), length, dtype=torch.long)
    read = zip(*_tokenize(tokenizer, strings, length)) if strings else iter(())
    for place, text in enumerate(texts):
        if isinstance(text, Tokens):
            if len(text.ids) > length:
                raise ArgumentError(
                    f"got {len(text.ids)} tokens for a text encoder that takes {length}; divide "
                    f"them"
                )
            ids[place, : len(text.ids)] = torch.tensor(text.ids)
            mask[place] = torch.tensor(text.row(length))
        else:
            ids[place], mask[place] = next(read)
    return ids, mask


def _tokenize(tokenizer: Any, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
    heads = [_head(text, length) for text in texts]

    def tokenized(texts: list[str]) -> Any:
        return tokenizer(
            texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )

    tokens = tokenized(heads)
    full = tokens.attention_mask[:, -1].tolist()
    if not all(last or head == text for last, head, text in zip(full, heads, texts)):
        # A head may be mostly white space, with the tokens later in the text.
        heads = list(texts)
        tokens = tokenized(heads)
        full = tokens.attention_mask[:, -1].tolist()
    # Only a text whose last position is not padding can have been truncated.
    for head, last in zip(heads, full):
        cut = tokenizer(head, verbose=False).input_ids[length - 1 : -1] if last else None
        if cut:
            lost = tokenizer.decode(cut[:_SHOWN])[:_SHOWN]
            _log.warning(
                "the text encoder takes %d tokens; this part of the prompt was cut off: %r",
                length,
                lost,
            )
    return tokens.input_ids, tokens.attention_mask


def expanded(text: str, tokenizer: Any) -> str:
    """Return `text` in which added tokens of several vectors are followed by those of the others.

    The further vectors of an added token TOKEN are the tokens TOKEN_1, TOKEN_2 and so on. Where
    they follow already, the text stays. Upper and lower case count.

    Not thread-safe: hold the lock of the tokenizer.
    """
    added = tokenizer.added_tokens_encoder
    if not any(f"{token}_1" in added for token in added):
        return text
    for token in dict.fromkeys(tokenizer.tokenize(text)):
        names = itertools.chain([token], (f"{token}_{n}" for n in itertools.count(1)))
        several = [*itertools.takewhile(added.__contains__, names)]
        if len(several) > 1:
            alone = rf"{re.escape(token)}(?!_\d| {re.escape(several[1])})"
            text = re.sub(alone, " ".join(several).replace("\\", r"\\"), text)
    return text


def _head(text: str, length: int) -> str:
    """Return the beginning of `text` up to a space, with `_CHARACTERS` characters per token."""
    most = length * _CHARACTERS
    if len(text) <= most:
        return text
    space = text.rfind(" ", most // 2, most)
    return text[: most if space < 0 else space]


def check_clip_skip(clip_skip: int | None, layers: int) -> None:
    """Check that a text encoder can skip `clip_skip` layers.

    Args:
        layers: the largest number of layers that it can skip.

    Raises:
        ArgumentTypeError: if `clip_skip` is not a whole number.
        ArgumentError: if `clip_skip` is negative or larger than `layers`.
    """
    if clip_skip is None:
        return
    check_whole("clip_skip", clip_skip)
    if not 0 <= clip_skip <= layers:
        raise ArgumentError(
            f"clip_skip is {clip_skip}; the text encoder can skip {layers} layers, so give 0 to "
            f"{layers}"
        )


def check_encoder(encoder: Any, tokenizer: Any) -> None:
    """Check that there is a text encoder and a tokenizer.

    Raises:
        ArgumentError: if one of the two is None.
    """
    if encoder is None or tokenizer is None:
        raise ArgumentError(
            "this pipeline has no text encoder or no tokenizer, so it can't encode texts; give "
            "prompt_embeds and, under guidance, negative_prompt_embeds"
        )


def check_texts(call: Mapping[str, Any], config: Any) -> int:
    """Check the prompts of a call, or their embeddings, and return their number.

    Args:
        call: the arguments of the call.
        config: that of the network, which determines the width of embeddings.

    Raises:
        ArgumentError, ArgumentTypeError: if an argument is not valid.
    """
    check_prompt(
        call["prompt"],
        call["prompt_embeds"],
        call["negative_prompt"],
        call["negative_prompt_embeds"],
    )
    width = config.encoder_hid_dim or config.cross_attention_dim
    for name in ("prompt_embeds", "negative_prompt_embeds"):
        check_width(name, call[name], width)
    return batch_size_of(call["prompt"], call["prompt_embeds"])


def check_halves(call: Mapping[str, Any], encoder: Any, tokenizer: Any, *, guided: bool) -> bool:
    """Check of the prompts of a call what depends on guidance; return whether texts are encoded.

    Args:
        call: the arguments of the call, after `check_texts`.
        encoder, tokenizer: those of the texts, needed unless embeddings are given.

    Raises:
        ArgumentError: if the numbers of prompts and negative prompts differ, or a component is
            absent.
    """
    prompt = call["prompt"]
    if guided:
        prompts = batch_size_of(prompt, call["prompt_embeds"])
        check_negative_prompt(call["negative_prompt"], prompt, prompts)
    encodes = prompt is not None or (guided and call["negative_prompt_embeds"] is None)
    if encodes:
        check_encoder(encoder, tokenizer)
    return encodes


def lengthened(embeds: Tensor, length: int, empty: Callable[[], Tensor]) -> Tensor:
    """Return `embeds` (B, K, D), continued to `length` tokens by those of the empty text.

    Args:
        empty: returns the embeddings (1, E, D) of the empty text; called if they are needed.
    """
    missing = length - embeds.shape[1]
    if missing <= 0:
        return embeds
    rows = empty().to(embeds)
    rows = rows.repeat(len(embeds), -(-missing // rows.shape[1]), 1)[:, :missing]
    return torch.cat([embeds, rows], dim=1)


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
    """Return the embeddings (B, K, D) of prompt and negative prompt, repeated for each image.

    Add-ons may encode long texts with more tokens. The shorter of the two is then continued.

    Args:
        prompt_embeds, negative_prompt_embeds: used instead of encoding a text.
        encode: encodes texts; see `Encode`.
        guided: whether negative embeddings are needed; False returns them as given.
        device, dtype: device and dtype of the result; None keeps the dtype.

    Raises:
        ArgumentError, ArgumentTypeError: if the prompts don't match, or `num_images_per_prompt` is
            not a positive whole number.
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
        if prompt is not None:
            prompt_embeds = lengthened(
                prompt_embeds, negative_prompt_embeds.shape[1], lambda: encode([""], None)
            )
    return repeated(prompt_embeds), repeated(negative_prompt_embeds)


def join_halves(embeds: Tensor, negative: Tensor) -> Tensor:
    """Join embeddings (B, K, D) of prompts and negative prompts to (2B, K, D), the negative first.

    Raises:
        ArgumentError: if the shapes differ.
    """
    if negative.shape != embeds.shape:
        raise ArgumentError(
            f"the negative embeddings have shape {tuple(negative.shape)} and those of the prompt "
            f"{tuple(embeds.shape)}; give both the same shape"
        )
    return torch.cat([negative, embeds])
