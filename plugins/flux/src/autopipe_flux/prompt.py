"""Prompts of a call: texts for CLIP, which gives one vector, and for T5; or embeddings of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.turns import guard
from autopipe_components.steps.checks import (
    Prompt,
    batch_size_of,
    check_prompt,
    check_tensor,
    check_text,
    check_width,
)
from autopipe_components.steps.prompt import distinct_texts, tokenize
from autopipe_components.steps.tokens import Text

if TYPE_CHECKING:
    from autopipe.pipeline.call import Arguments

Encode: TypeAlias = Callable[..., Tensor]


@dataclass(frozen=True)
class Prompts:
    """The prompts of one sign, positive or negative, of a call.

    Attributes:
        sign: "" or "negative_".
        count: the number of prompts of the call.
        first: for CLIP. A single text is used for all prompts.
        second: for T5; by default the first.
        embeds: (count, K, D) in place of texts.
        pooled: (count, P), required with them.
    """

    sign: str
    count: int
    first: Prompt | None
    second: Prompt | None
    embeds: Tensor | None
    pooled: Tensor | None

    @classmethod
    def of(cls, call: Arguments, sign: str = "") -> Prompts:
        """Return the prompts of a call."""
        names = ("prompt", "prompt_2", "prompt_embeds", "pooled_prompt_embeds")
        count = batch_size_of(call["prompt"], call["prompt_embeds"])
        return cls(sign, count, *(call[f"{sign}{name}"] for name in names))

    @property
    def is_given(self) -> bool:
        """Whether there is a prompt, as a text or as embeddings."""
        return self.first is not None or self.embeds is not None

    def check(self, width: int, pooled_width: int) -> None:
        """Check the prompts, after `check_prompt`.

        Args:
            width, pooled_width: of the embeddings that the network takes.

        Raises:
            ArgumentError, ArgumentTypeError: if they don't fit together, or to the network.
        """
        sign = self.sign
        check_text(f"{sign}prompt_2", self.second)
        check_tensor(f"{sign}pooled_prompt_embeds", self.pooled)
        if self.second is not None and self.embeds is not None:
            raise ArgumentError(
                f"got both {sign}prompt_2 and {sign}prompt_embeds; give one of them"
            )
        if self.embeds is not None and self.pooled is None:
            raise ArgumentError(
                f"{sign}prompt_embeds need {sign}pooled_prompt_embeds of the same prompt; "
                f"encode_prompt returns both"
            )
        if self.pooled is not None and self.pooled.ndim != 2:
            raise ArgumentError(
                f"{sign}pooled_prompt_embeds must have two axes (batch, width), not the shape "
                f"{tuple(self.pooled.shape)}"
            )
        check_width(f"{sign}prompt_embeds", self.embeds, width)
        check_width(f"{sign}pooled_prompt_embeds", self.pooled, pooled_width)
        for name, given in (
            ("prompt", self.first),
            ("prompt_2", self.second),
            ("prompt_embeds", self.embeds),
            ("pooled_prompt_embeds", self.pooled),
        ):
            if isinstance(given, (list, Tensor)) and len(given) != self.count:
                raise ArgumentError(
                    f"{sign}{name} has {len(given)} entries for {self.count} prompts; give one "
                    f"for each, or a single text"
                )

    def texts(self) -> tuple[list[str], list[str]]:
        """Return the texts for each of the two encoders."""
        first, second = (self._spread(one or "") for one in (self.first, self.second or self.first))
        return first, second

    def _spread(self, text: Prompt) -> list[str]:
        return [text] * self.count if isinstance(text, str) else text


def check_signs(call: Arguments) -> int:
    """Check the prompts of a call against each other, and return their number.

    Raises:
        ArgumentError, ArgumentTypeError: if an argument is not valid.
    """
    names = ("prompt", "prompt_embeds", "negative_prompt", "negative_prompt_embeds")
    check_prompt(*(call[name] for name in names))
    return batch_size_of(call["prompt"], call["prompt_embeds"])


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
