"""Prompts for several text encoders: texts for each, or embeddings with pooled ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.turns import guard

from .checks import (
    Prompt,
    batch_size_of,
    check_floating,
    check_prompt,
    check_tensor,
    check_text,
    check_width,
)
from .prompt import distinct_texts, text_length, tokenize
from .tokens import Text

SIGNS = ("", "negative_")
"""What the names of prompts and of negative prompts begin with."""


@dataclass(frozen=True)
class PromptArguments:
    """The arguments of a call that say what to draw and what to avoid; None where it has none.

    Attributes:
        prompt, prompt_2, prompt_3, negative_prompt, negative_prompt_2, negative_prompt_3: a text
            or a list of texts for each text encoder.
        prompt_embeds, negative_prompt_embeds: embeddings in place of texts.
        pooled_prompt_embeds, negative_pooled_prompt_embeds: the vectors that belong to them.
    """

    prompt: Prompt | None = None
    prompt_2: Prompt | None = None
    prompt_3: Prompt | None = None
    negative_prompt: Prompt | None = None
    negative_prompt_2: Prompt | None = None
    negative_prompt_3: Prompt | None = None
    prompt_embeds: Tensor | None = None
    negative_prompt_embeds: Tensor | None = None
    pooled_prompt_embeds: Tensor | None = None
    negative_pooled_prompt_embeds: Tensor | None = None

    @classmethod
    def of(cls, call: Any) -> PromptArguments:
        """Return those of a call."""
        return cls(**{field.name: call.get(field.name) for field in fields(cls)})


@dataclass(frozen=True)
class PooledPrompts:
    """The prompts of one sign, positive or negative, of a call.

    Attributes:
        sign: one of `SIGNS`.
        count: the number of prompts of the call.
        texts: for each text encoder, from the arguments `prompt`, `prompt_2` and so on; None or an
            empty one for that of the first. A single text is used for all prompts.
        embeds: `prompt_embeds`, (count, K, D), in place of texts.
        pooled: `pooled_prompt_embeds`, (count, P), required with them.
    """

    sign: str
    count: int
    texts: tuple[Prompt | None, ...]
    embeds: Tensor | None
    pooled: Tensor | None

    @classmethod
    def of(cls, given: Mapping[str, Any], sign: str = "", encoders: int = 2) -> PooledPrompts:
        """Return the prompts among the arguments of a call, by name.

        Args:
            given: the arguments, such as `vars(PromptArguments.of(call))`.
            encoders: the number of text encoders.
        """
        count = batch_size_of(given["prompt"], given["prompt_embeds"])
        texts = tuple(given[f"{sign}{name}"] for name in _names(encoders))
        pooled = (given.get(f"{sign}{name}") for name in ("prompt_embeds", "pooled_prompt_embeds"))
        return cls(sign, count, texts, *pooled)

    @property
    def is_given(self) -> bool:
        """Whether there is a prompt, as a text for the first encoder or as embeddings."""
        return self.texts[0] is not None or self.embeds is not None

    def check(self, width: int | None = None, pooled_width: int | None = None) -> None:
        """Check that the prompts fit together, and to a network.

        Args:
            width, pooled_width: of the embeddings that the network takes; None doesn't check them.

        Raises:
            ArgumentError, ArgumentTypeError: if they don't.
        """
        sign, embeds, pooled = self.sign, self.embeds, self.pooled
        check_tensor(f"{sign}pooled_prompt_embeds", pooled)
        check_floating(f"{sign}pooled_prompt_embeds", pooled)
        if pooled is not None and pooled.ndim != 2:
            raise ArgumentError(
                f"{sign}pooled_prompt_embeds have shape {tuple(pooled.shape)}; they need two axes "
                f"(batch, width)"
            )
        if embeds is not None and pooled is None:
            raise ArgumentError(
                f"{sign}prompt_embeds need {sign}pooled_prompt_embeds of the same prompt; "
                f"encode_prompt returns both"
            )
        for name, texts in zip(_names(len(self.texts)), self.texts):
            check_text(f"{sign}{name}", texts)
            if texts is not None and embeds is not None:
                raise ArgumentError(
                    f"got both {sign}{name} and {sign}prompt_embeds; give one of them"
                )
            self._check_count(name, texts)
        for name, made, wanted in (
            ("prompt_embeds", embeds, width),
            ("pooled_prompt_embeds", pooled, pooled_width),
        ):
            self._check_count(name, made)
            if wanted is not None:
                check_width(f"{sign}{name}", made, wanted)

    def _check_count(self, name: str, given: Any) -> None:
        if isinstance(given, (list, Tensor)) and len(given) != self.count:
            raise ArgumentError(
                f"{self.sign}{name} has {len(given)} entries for {self.count} prompts; give one "
                f"for each"
            )

    def spread(self) -> list[list[str]]:
        """Return the texts for each of the encoders, one for each prompt."""
        first = self.texts[0] or ""
        every = [text or first for text in self.texts]
        return [[text] * self.count if isinstance(text, str) else text for text in every]


def check_pooled_prompts(
    given: Mapping[str, Any],
    encoders: int = 2,
    width: int | None = None,
    pooled_width: int | None = None,
) -> int:
    """Check the prompts and negative prompts of a call, and return the number of prompts.

    The arguments are those of `PooledPrompts.of` and of its `check`.

    Raises:
        ArgumentError, ArgumentTypeError: if an argument is not valid.
    """
    names = ("prompt", "prompt_embeds", "negative_prompt", "negative_prompt_embeds")
    check_prompt(*(given[name] for name in names))
    for sign in SIGNS:
        PooledPrompts.of(given, sign, encoders).check(width, pooled_width)
    return batch_size_of(given["prompt"], given["prompt_embeds"])


def _names(encoders: int) -> list[str]:
    return ["prompt", *(f"prompt_{number}" for number in range(2, encoders + 1))]


def encode_states(
    tokenizer: Any,
    encoder: Any,
    texts: Sequence[Text],
    *,
    device: torch.device | str,
    length: int,
) -> Tensor:
    """Return the states (B, `length`, D) of all tokens, padding included, which is read too.

    Args:
        length: in tokens; longer texts are truncated with a warning.
    """
    states, positions = _encoded(tokenizer, encoder, texts, device, length)
    found: Tensor = states[0][positions]
    return found


def encode_pooled(
    tokenizer: Any, encoder: Any, texts: Sequence[Text], *, device: torch.device | str
) -> Tensor:
    """Return one vector (B, P) for each text, which a model such as CLIP pools from its states."""
    length = text_length(tokenizer, encoder)
    output, positions = _encoded(tokenizer, encoder, texts, device, length)
    pooled: Tensor = output.pooler_output
    return pooled[positions]


def encode_both(
    tokenizer: Any,
    encoder: Any,
    texts: Sequence[Text],
    *,
    device: torch.device | str,
    length: int,
    clip_skip: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return states (B, `length`, D) before the last layer, and the pooled output (B, P).

    Args:
        encoder: one whose first output is the pooled one, such as CLIP with a projection.
        length: in tokens; longer texts are truncated with a warning.
        clip_skip: how many more layers to skip.
    """
    output, positions = _encoded(
        tokenizer, encoder, texts, device, length, output_hidden_states=True
    )
    return output.hidden_states[-2 - (clip_skip or 0)][positions], output[0][positions]


def _encoded(
    tokenizer: Any,
    encoder: Any,
    texts: Sequence[Text],
    device: torch.device | str,
    length: int,
    **options: Any,
) -> tuple[Any, list[int]]:
    """Return the output for the distinct texts, and for each text its index in that."""
    distinct, positions = distinct_texts(texts)
    # The lock includes the encoder: older transformers collect hidden states in the module.
    with guard(tokenizer):
        ids, _ = tokenize(tokenizer, distinct, length)
        return encoder(ids.to(device), **options), positions
