"""Prompts and negative prompts of a call: strings for three text encoders, or embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.turns import guard
from autopipe_components.steps.checks import (
    Prompt,
    batch_size_of,
    check_prompt,
    check_tensor,
    check_text,
)
from autopipe_components.steps.prompt import distinct_texts, tokenize

if TYPE_CHECKING:
    from autopipe.pipeline.call import Arguments

SIGNS = ("", "negative_")
"""What the names of prompts and of negative prompts begin with."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of a call, with the names of its parameters.

    Attributes:
        prompt, prompt_2, prompt_3: for each text encoder; the others default to the first. A single
            string is used for all prompts.
        negative_prompt, negative_prompt_2, negative_prompt_3: likewise, what to avoid.
        prompt_embeds, negative_prompt_embeds: (B, K, D), used in place of strings.
        pooled_prompt_embeds, negative_pooled_prompt_embeds: (B, P); required with the others.
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
    def of(cls, call: Arguments | Mapping[str, Any]) -> Prompts:
        """Return the prompts among the arguments of a call."""
        return cls(**{one.name: call[one.name] for one in fields(cls) if one.name in call})

    @property
    def count(self) -> int:
        """The number of prompts."""
        return batch_size_of(self.prompt, self.prompt_embeds)

    def check(self) -> int:
        """Check that the prompts fit together; return their number.

        Raises:
            ArgumentError: if numbers or shapes don't fit together.
            ArgumentTypeError: if a prompt has the wrong type.
        """
        check_prompt(
            self.prompt, self.prompt_embeds, self.negative_prompt, self.negative_prompt_embeds
        )
        for sign in SIGNS:
            self._check_half(sign)
        return self.count

    def _check_half(self, sign: str) -> None:
        embeds, pooled = self.embeddings(sign)
        check_tensor(f"{sign}pooled_prompt_embeds", pooled)
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
        for name in (f"{sign}prompt", f"{sign}prompt_2", f"{sign}prompt_3"):
            texts = getattr(self, name)
            check_text(name, texts)
            if texts is not None and embeds is not None:
                raise ArgumentError(f"got both {name} and {sign}prompt_embeds; give one of them")
            if isinstance(texts, list) and len(texts) != self.count:
                raise ArgumentError(
                    f"{name} has {len(texts)} strings for {self.count} prompts; give one for each, "
                    f"or a single string"
                )
        for what, given in (("prompt_embeds", embeds), ("pooled_prompt_embeds", pooled)):
            if given is not None and len(given) != self.count:
                raise ArgumentError(
                    f"{sign}{what} have {len(given)} rows for {self.count} prompts; give one for "
                    f"each"
                )

    def embeddings(self, sign: str) -> tuple[Tensor | None, Tensor | None]:
        """Return the given embeddings and pooled embeddings of one of `SIGNS`."""
        names = (f"{sign}prompt_embeds", f"{sign}pooled_prompt_embeds")
        embeds, pooled = (getattr(self, name) for name in names)
        return embeds, pooled

    def texts(self, sign: str) -> Iterator[list[str]]:
        """Yield the texts of one of `SIGNS` for each of the three encoders."""
        first = getattr(self, f"{sign}prompt") or ""
        for name in (f"{sign}prompt", f"{sign}prompt_2", f"{sign}prompt_3"):
            text = getattr(self, name) or first
            yield [text] * self.count if isinstance(text, str) else text


def encode_clip(
    tokenizer: Any,
    encoder: Any,
    texts: Sequence[str],
    *,
    device: torch.device | str,
    length: int,
    clip_skip: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return hidden states (B, `length`, D) of a CLIP encoder, and its projections (B, P).

    Args:
        length: in tokens; longer texts are truncated with a warning.
        clip_skip: how many layers to skip besides the last one.
    """
    distinct, positions = distinct_texts(texts)
    # The lock includes the encoder: older transformers collect hidden states in the module.
    with guard(tokenizer):
        ids, _ = tokenize(tokenizer, distinct, length)
        output = encoder(ids.to(device), output_hidden_states=True)
    return output.hidden_states[-2 - (clip_skip or 0)][positions], output[0][positions]


def encode_t5(
    tokenizer: Any,
    encoder: Any,
    texts: Sequence[str],
    *,
    device: torch.device | str,
    length: int,
) -> Tensor:
    """Return the hidden states (B, `length`, D) of a T5 encoder, which also reads the padding.

    Args:
        length: in tokens; longer texts are truncated with a warning.
    """
    distinct, positions = distinct_texts(texts)
    with guard(tokenizer):
        ids, _ = tokenize(tokenizer, distinct, length)
    states: Tensor = encoder(ids.to(device))[0]
    return states[positions]


def embed_texts(
    clips: Sequence[Callable[..., tuple[Tensor, Tensor]]],
    t5: Callable[[list[str]], Tensor],
    texts: Sequence[list[str]],
    clip_skip: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the embeddings (B, K, D) and pooled embeddings (B, P) of texts.

    The hidden states of both CLIP encoders are put side by side and filled up with zeros to the
    width of T5, whose tokens follow theirs (arXiv:2403.03206, section 4 and figure 2).

    Args:
        clips: functions from texts and `clip_skip` to hidden states and projections.
        t5: a function from texts to hidden states (B, N, D).
        texts: those for each of the three.
    """
    *firsts, last = texts
    pairs = [clip(own, clip_skip=clip_skip) for clip, own in zip(clips, firsts)]
    states = torch.cat([one for one, _ in pairs], dim=-1)
    long = t5(last).to(states.device)
    filled = F.pad(states, (0, long.shape[-1] - states.shape[-1]))
    return torch.cat([filled, long], dim=1), torch.cat([pooled for _, pooled in pairs], dim=-1)
