"""Prompts and negative prompts of a call: strings for two text encoders, or embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from autopipe.attaching.attachment import Encode
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.pipeline.turns import guard
from autopipe_components.steps.checks import (
    Prompt,
    batch_size_of,
    check_prompt,
    check_tensor,
    check_text,
)
from autopipe_components.steps.prompt import distinct_texts, lengthened, text_length, tokenize
from autopipe_components.steps.tokens import Text, hiding_mask

if TYPE_CHECKING:
    from autopipe.pipeline.call import Arguments


@dataclass(frozen=True)
class Prompts:
    """The prompts of a call, with the names of its parameters.

    Attributes:
        prompt, prompt_2: for the first and the second text encoder; the second defaults to the
            first. A single string is used for all prompts.
        negative_prompt, negative_prompt_2: likewise, what to avoid.
        prompt_embeds, negative_prompt_embeds: (B, K, D), used in place of strings.
        pooled_prompt_embeds, negative_pooled_prompt_embeds: (B, P); required with the others.
    """

    prompt: Prompt | None = None
    prompt_2: Prompt | None = None
    negative_prompt: Prompt | None = None
    negative_prompt_2: Prompt | None = None
    prompt_embeds: Tensor | None = None
    negative_prompt_embeds: Tensor | None = None
    pooled_prompt_embeds: Tensor | None = None
    negative_pooled_prompt_embeds: Tensor | None = None

    @classmethod
    def of(cls, call: Arguments) -> Prompts:
        """Return the prompts of a call."""
        return cls(**{one.name: call[one.name] for one in fields(cls)})

    def check(self) -> int:
        """Check that the prompts fit together; return their number.

        Raises:
            ArgumentError: if numbers or shapes don't fit together.
            ArgumentTypeError: if a prompt has the wrong type.
        """
        check_prompt(
            self.prompt, self.prompt_embeds, self.negative_prompt, self.negative_prompt_embeds
        )
        count = batch_size_of(self.prompt, self.prompt_embeds)
        for sign in ("", "negative_"):
            self._check_half(sign, count)
        return count

    def _check_half(self, sign: str, count: int) -> None:
        embeds = getattr(self, f"{sign}prompt_embeds")
        pooled = getattr(self, f"{sign}pooled_prompt_embeds")
        second = getattr(self, f"{sign}prompt_2")
        check_text(f"{sign}prompt_2", second)
        check_tensor(f"{sign}pooled_prompt_embeds", pooled)
        if pooled is not None and pooled.ndim != 2:
            raise ArgumentError(
                f"{sign}pooled_prompt_embeds must have two axes (batch, width), not the shape "
                f"{tuple(pooled.shape)}"
            )
        if second is not None and embeds is not None:
            raise ArgumentError(
                f"got both {sign}prompt_2 and {sign}prompt_embeds; give one of them"
            )
        if embeds is not None and pooled is None:
            raise ArgumentTypeError(
                f"{sign}prompt_embeds need {sign}pooled_prompt_embeds of the same prompt; "
                f"encode_prompt returns both"
            )
        for name in (f"{sign}prompt", f"{sign}prompt_2"):
            texts = getattr(self, name)
            if isinstance(texts, list) and len(texts) != count:
                raise ArgumentError(
                    f"{name} has {len(texts)} strings for {count} prompts; give one for each, or "
                    f"a single string"
                )
        for name, given in (
            (f"{sign}prompt_embeds", embeds),
            (f"{sign}pooled_prompt_embeds", pooled),
        ):
            if given is not None and len(given) != count:
                raise ArgumentError(
                    f"{sign}{name} has {len(given)} rows for {count} prompts; give one for each"
                )

    @property
    def texts(self) -> tuple[list[str], list[str]]:
        """The prompts for each of the two encoders."""
        count = batch_size_of(self.prompt, self.prompt_embeds)
        return _spread(self.prompt or "", count), _spread(self.prompt_2 or self.prompt or "", count)

    @property
    def negative_texts(self) -> tuple[list[str], list[str]]:
        """The negative prompts for each of the two encoders; empty strings by default."""
        count = batch_size_of(self.prompt, self.prompt_embeds)
        first = self.negative_prompt or ""
        return _spread(first, count), _spread(self.negative_prompt_2 or first, count)


def _spread(text: Prompt, count: int) -> list[str]:
    return [text] * count if isinstance(text, str) else text


def encode_text(
    tokenizer: Any,
    encoder: Any,
    texts: Sequence[Text],
    *,
    device: torch.device | str,
    length: int | None = None,
    clip_skip: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Return hidden states (B, length, D) of one encoder, and the pooled embedding (B, P) or None.

    Only an encoder with a projection has a pooled embedding.

    Args:
        length: the length in tokens; by default that of the tokenizer. Longer texts are truncated
            with a warning.
        clip_skip: the number of layers to skip in addition to the last one.
    """
    distinct, positions = distinct_texts(texts)
    # The lock includes the encoder: older transformers collect hidden states in the module.
    with guard(tokenizer):
        ids, _ = tokenize(tokenizer, distinct, length or text_length(tokenizer, encoder))
        mask = hiding_mask(distinct, ids.shape[1])
        output = encoder(
            ids.to(device),
            attention_mask=None if mask is None else mask.to(device),
            output_hidden_states=True,
        )
    states = output.hidden_states[-2 - (clip_skip or 0)][positions]
    return states, output[0][positions] if output[0].ndim == 2 else None


def encode_texts(
    encoders: Iterable[Encode], texts: Sequence[Sequence[str]], **options: Any
) -> tuple[Tensor, Tensor]:
    """Return the concatenated hidden states (B, length, D) of all encoders, and the pooled (B, P).

    If add-ons encode a text with more tokens than that of the other encoder, that is continued.

    Args:
        encoders: functions like `encode_text`; one of them returns a pooled embedding.
        texts: the texts for each encoder.
        **options: the options of `encode_text`.
    """
    encoded = [(encode, *encode(own, **options)) for encode, own in zip(encoders, texts)]
    length = max(states.shape[1] for _, states, _ in encoded)
    found = [
        lengthened(states, length, partial(_empty, encode, options))
        for encode, states, _ in encoded
    ]
    return torch.cat(found, dim=-1), next(pooled for *_, pooled in encoded if pooled is not None)


def _empty(encode: Encode, options: Mapping[str, Any]) -> Tensor:
    states: Tensor = encode([""], **options)[0]
    return states


def embed(
    prompts: Prompts,
    encoders: Sequence[Encode],
    *,
    device: torch.device | str,
    guided: bool,
    zeros: bool,
    clip_skip: int | None = None,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
    """Return embeddings (B, K, D) of prompts and negative prompts, then pooled ones (B, P) of both.

    Args:
        encoders: as for `encode_texts`.
        guided: if False, negative prompts are not encoded.
        zeros: whether missing negative prompts are zeros.
        clip_skip: the number of additional layers to skip for the prompts.
    """
    embeds, pooled = prompts.prompt_embeds, prompts.pooled_prompt_embeds
    if embeds is None:
        embeds, own = encode_texts(encoders, prompts.texts, device=device, clip_skip=clip_skip)
        pooled = own if pooled is None else pooled
    assert pooled is not None

    negative, negative_pooled = (
        prompts.negative_prompt_embeds,
        prompts.negative_pooled_prompt_embeds,
    )
    if guided and negative is None:
        if zeros:
            negative, negative_pooled = torch.zeros_like(embeds), torch.zeros_like(pooled)
        else:
            negative, own = encode_texts(
                encoders, prompts.negative_texts, device=device, length=embeds.shape[1]
            )
            negative_pooled = own if negative_pooled is None else negative_pooled
            if prompts.prompt_embeds is None:
                empty = partial(
                    encode_texts, encoders, ([""], [""]), device=device, clip_skip=clip_skip
                )
                embeds = lengthened(embeds, negative.shape[1], lambda: empty()[0])
    return embeds, negative, pooled, negative_pooled
