"""Prompts for two text encoders, of which the first gives a vector of the text as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from autopipe.errors import ArgumentError

from .checks import (
    Prompt,
    batch_size_of,
    check_prompt,
    check_tensor,
    check_text,
    check_width,
)

if TYPE_CHECKING:
    from autopipe.pipeline.call import Arguments


@dataclass(frozen=True)
class SignedPrompts:
    """The prompts of one sign, positive or negative, of a call.

    Attributes:
        sign: "" or "negative_".
        count: the number of prompts of the call.
        first: for the first text encoder. A single text is used for all prompts.
        second: for the second one; by default the first.
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
    def of(cls, call: Arguments, sign: str = "") -> SignedPrompts:
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


def count_prompts(call: Arguments) -> int:
    """Check the prompts of a call against each other, and return their number.

    Raises:
        ArgumentError, ArgumentTypeError: if an argument is not valid.
    """
    names = ("prompt", "prompt_embeds", "negative_prompt", "negative_prompt_embeds")
    check_prompt(*(call[name] for name in names))
    return batch_size_of(call["prompt"], call["prompt_embeds"])
