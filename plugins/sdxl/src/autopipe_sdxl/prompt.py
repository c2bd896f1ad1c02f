"""What a call is asked to draw, and to keep away from: texts for two encoders, or embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
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
from autopipe_components.steps.prompt import distinct_texts, text_length, tokenize

if TYPE_CHECKING:
    from autopipe.pipeline.call import Arguments


@dataclass(frozen=True)
class Prompts:
    """The prompts of a call, named as its parameters are.

    Attributes:
        prompt, prompt_2: for the first and the second text encoder; one stands in for the other.
            A lone text counts for each prompt.
        negative_prompt, negative_prompt_2: the same, of what to keep away from.
        prompt_embeds, negative_prompt_embeds: (B, K, D), used instead of texts.
        pooled_prompt_embeds, negative_pooled_prompt_embeds: (B, P); they come with the others.
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
        """Those of a call."""
        return cls(**{one.name: call[one.name] for one in fields(cls)})

    def check(self) -> int:
        """Refuse what contradicts itself; returns how many prompts there are.

        Raises:
            ArgumentError, ArgumentTypeError: kinds, numbers or shapes don't fit together.
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
                f"{sign}pooled_prompt_embeds have shape {tuple(pooled.shape)}; they need two axes "
                f"(batch, width)"
            )
        if second is not None and embeds is not None:
            raise ArgumentError(
                f"got both {sign}prompt_2 and {sign}prompt_embeds; give one of them"
            )
        if embeds is not None and pooled is None:
            raise ArgumentTypeError(
                f"{sign}prompt_embeds need {sign}pooled_prompt_embeds of the same text beside "
                f"them; encode_prompt returns both"
            )
        for name in (f"{sign}prompt", f"{sign}prompt_2"):
            texts = getattr(self, name)
            if isinstance(texts, list) and len(texts) != count:
                raise ArgumentError(
                    f"{name} has {len(texts)} texts for {count} prompts; give one for each, or "
                    f"a single text"
                )
        for name, given in (
            (f"{sign}prompt_embeds", embeds),
            (f"{sign}pooled_prompt_embeds", pooled),
        ):
            if given is not None and len(given) != count:
                raise ArgumentError(
                    f"{sign}{name} are of {len(given)} prompts, and there are {count}"
                )

    @property
    def texts(self) -> tuple[list[str], list[str]]:
        """The prompts for either encoder."""
        count = batch_size_of(self.prompt, self.prompt_embeds)
        return _spread(self.prompt or "", count), _spread(self.prompt_2 or self.prompt or "", count)

    @property
    def negative_texts(self) -> tuple[list[str], list[str]]:
        """The negative prompts for either encoder; empty texts where there are none."""
        count = batch_size_of(self.prompt, self.prompt_embeds)
        first = self.negative_prompt or ""
        return _spread(first, count), _spread(self.negative_prompt_2 or first, count)


def _spread(text: Prompt, count: int) -> list[str]:
    return [text] * count if isinstance(text, str) else text


def encode_text(
    tokenizer: Any,
    encoder: Any,
    texts: Sequence[str],
    *,
    device: torch.device | str,
    length: int | None = None,
    clip_skip: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Hidden states (B, length, D) of one encoder, and the pooled texts (B, P) if it projects them.

    Args:
        length: in tokens; what the tokenizer has if absent. Longer texts are cut, with a warning.
        clip_skip: the last layer but one is what is taken; leave out so many more.
    """
    distinct, positions = distinct_texts(texts)
    # The lock covers the encoder: older transformers collect hidden states in the module.
    with guard(tokenizer):
        ids, _ = tokenize(tokenizer, distinct, length or text_length(tokenizer, encoder))
        output = encoder(ids.to(device), output_hidden_states=True)
    states = output.hidden_states[-2 - (clip_skip or 0)][positions]
    return states, output[0][positions] if output[0].ndim == 2 else None


def encode_texts(
    encoders: Iterable[Encode], texts: Sequence[Sequence[str]], **options: Any
) -> tuple[Tensor, Tensor]:
    """Hidden states (B, length, D) of all encoders side by side, and the pooled texts (B, P).

    Args:
        encoders: as `encode_text` is; one of them projects its pooled texts.
        texts: for each encoder.
        **options: those of `encode_text`.
    """
    encoded = [encode(own, **options) for encode, own in zip(encoders, texts)]
    states, pooled = zip(*encoded)
    return torch.cat(states, dim=-1), next(one for one in pooled if one is not None)


def embed(
    prompts: Prompts,
    encoders: Sequence[Encode],
    *,
    device: torch.device | str,
    guided: bool,
    zeros: bool,
    clip_skip: int | None = None,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
    """Embeddings (B, K, D) of prompts and negative prompts, then pooled ones (B, P) of both.

    Args:
        encoders: as for `encode_texts`.
        guided: where False, negative prompts are not encoded.
        zeros: whether zeros stand for negative prompts that are not given.
        clip_skip: leave out so many layers more, for the prompts.
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
    return embeds, negative, pooled, negative_pooled
