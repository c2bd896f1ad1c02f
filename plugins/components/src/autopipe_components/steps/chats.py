"""Prompts that a language model reads as messages of a chat, and their embeddings.

Such embeddings have no padding: each prompt keeps its own number of tokens. The embedding of one is
a tensor (K, D), and those of several are a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import torch
from torch import Tensor

from autopipe.attaching.attachment import Encode
from autopipe.errors import ArgumentError, ArgumentTypeError, ConfigError
from autopipe.pipeline.turns import guard
from autopipe.wording import error_summary, shown

from .checks import Prompt, check_text, check_width
from .prompt import distinct_texts, tokenize

ChatEmbeds: TypeAlias = "Sequence[Tensor] | Tensor"
"""Embeddings (K, D) of prompts, each with its own number of tokens; or one tensor (B, K, D)."""


@dataclass(frozen=True)
class ChatPrompts:
    """The arguments of a call that say what to draw and what to avoid.

    Attributes:
        prompt, negative_prompt: a string, or a list of them; one negative prompt serves for all.
        prompt_embeds, negative_prompt_embeds: embeddings in place of strings.
    """

    prompt: Prompt | None = None
    negative_prompt: Prompt | None = None
    prompt_embeds: ChatEmbeds | None = None
    negative_prompt_embeds: ChatEmbeds | None = None

    @classmethod
    def of(cls, call: Any) -> ChatPrompts:
        """Return those of a call."""
        return cls(**{field.name: call.get(field.name) for field in fields(cls)})

    def check(self, width: int | None = None) -> int:
        """Check types, shapes and numbers, and return the number of prompts.

        Args:
            width: the width of embeddings that the network takes; None doesn't check it.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is not valid.
        """
        for sign in ("", "negative_"):
            text, embeds = getattr(self, f"{sign}prompt"), getattr(self, f"{sign}prompt_embeds")
            check_text(f"{sign}prompt", text)
            _check_embeds(f"{sign}prompt_embeds", embeds, width)
            if text is not None and embeds is not None:
                raise ArgumentError(
                    f"got both {sign}prompt and {sign}prompt_embeds; give one of them"
                )
        if self.prompt is None and self.prompt_embeds is None:
            raise ArgumentError("got neither prompt nor prompt_embeds; give one of them")
        count = self.count
        negatives = self.negative_prompt, self.negative_prompt_embeds
        for name, given in zip(("negative prompts", "negative_prompt_embeds"), negatives):
            if given is not None and not isinstance(given, str) and len(given) != count:
                raise ArgumentError(
                    f"got {len(given)} {name} for {count} prompts; give one for each"
                )
        return count

    @property
    def count(self) -> int:
        """The number of prompts."""
        if isinstance(self.prompt, str):
            return 1
        given = self.prompt_embeds if self.prompt is None else self.prompt
        assert given is not None
        return len(given)

    def encodes(self, *, guided: bool) -> bool:
        """Whether a call needs the text encoder."""
        return self.prompt is not None or (guided and self.negative_prompt_embeds is None)

    def embed(self, encode: Encode, *, guided: bool) -> tuple[list[Tensor], list[Tensor]]:
        """Return the embeddings of prompts and of negative prompts; without guidance none of these.

        Args:
            encode: encodes a list of strings as a list of tensors (K, D).
        """

        def of(text: Prompt | None, embeds: ChatEmbeds | None) -> list[Tensor]:
            if embeds is not None:
                return list(embeds)
            text = text or ""
            found: list[Tensor] = encode([text] * self.count if isinstance(text, str) else text)
            return found

        positive = of(self.prompt, self.prompt_embeds)
        return positive, of(self.negative_prompt, self.negative_prompt_embeds) if guided else []


def _check_embeds(name: str, embeds: Any, width: int | None) -> None:
    if embeds is None:
        return
    is_batch = isinstance(embeds, Tensor) and embeds.ndim == 3
    if not is_batch and not isinstance(embeds, (list, tuple)):
        raise ArgumentTypeError(
            f"{name} is {shown(embeds)}; give a list with a tensor (tokens, width) for each prompt"
        )
    for one in embeds:
        if not isinstance(one, Tensor) or not one.is_floating_point():
            raise ArgumentTypeError(
                f"{name} has {shown(one)}; give a tensor of numbers (tokens, width) for each prompt"
            )
        if one.ndim != 2 or not one.numel():
            raise ArgumentError(
                f"{name} has a tensor of shape {tuple(one.shape)}; each needs two axes (tokens, "
                f"width), none of length 0"
            )
        if width is not None:
            check_width(name, one, width)
    if not len(embeds):
        raise ArgumentError(f"{name} is empty; give a tensor (tokens, width) for each prompt")


def encode_chats(
    tokenizer: Any,
    encoder: Any,
    texts: Sequence[str],
    *,
    device: torch.device | str,
    length: int,
    layer: int = -1,
    **template: Any,
) -> list[Tensor]:
    """Return the hidden states (K, D) of a layer for each text.

    A text is what a user says in a chat, and the model is about to answer.

    Args:
        tokenizer, encoder: of transformers, or with their methods; no token may attend to those
            after it.
        length: the most tokens of a text and what the chat adds to it; the rest is cut off with a
            warning.
        layer: the index among the hidden states, which begin with those before the first layer.
        **template: what the chat template of the tokenizer takes, such as `enable_thinking`.

    Raises:
        ArgumentError: if the tokenizer has no chat template, or can't pad.
        ConfigError: if the template fails, or makes nothing of a text.
    """
    _check_tokenizer(tokenizer)
    distinct, places = distinct_texts(texts)
    with guard(tokenizer):
        chats = [_as_chat(tokenizer, text, template) for text in distinct]
        ids, mask = tokenize(tokenizer, chats, length)
        if not mask.any(dim=1).all():
            raise ConfigError(
                "the chat template of the tokenizer makes nothing of a prompt; fetch the "
                "checkpoint again"
            )
        # No token attends to those after it, so padding behind all texts needs no computing.
        used = int(mask.any(dim=0).nonzero().max()) + 1
        ids, mask = ids[:, :used].to(device), mask[:, :used].bool().to(device)
        output = encoder(
            input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False
        )
    states = output.hidden_states[layer]
    own = [row[real] for row, real in zip(states, mask.to(states.device))]
    return [own[place] for place in places]


def _check_tokenizer(tokenizer: Any) -> None:
    inputs = getattr(tokenizer, "model_input_names", ["attention_mask"])
    for lacks, what in (
        (not getattr(tokenizer, "chat_template", None), "chat template"),
        (getattr(tokenizer, "pad_token_id", 0) is None, "pad_token"),
        ("attention_mask" not in inputs, "attention_mask among its model_input_names"),
    ):
        if lacks:
            raise ArgumentError(
                f"the tokenizer, a {type(tokenizer).__name__}, has no {what}, which prompts need; "
                f"load that of the checkpoint"
            )


def _as_chat(tokenizer: Any, text: str, template: Mapping[str, Any]) -> str:
    message = {"role": "user", "content": text}
    try:
        chat: str = tokenizer.apply_chat_template(
            [message], tokenize=False, add_generation_prompt=True, **template
        )
    except Exception as error:  # of any kind, as a template is a program
        raise ConfigError(
            f"the chat template of the tokenizer fails ({error_summary(error)}); fetch the "
            f"checkpoint again"
        ) from error
    return chat
