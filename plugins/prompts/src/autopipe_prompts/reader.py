"""Reads fragments of texts with one text encoder of a call, in chunks of the length it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from autopipe.attaching.attachment import Encode
from autopipe.errors import ArgumentError
from autopipe.pipeline.turns import guard
from autopipe.wording import logger
from autopipe_components.steps.prompt import distinct_texts, expanded, text_length
from autopipe_components.steps.tokens import Text, Tokens, tokenizer_of

_ROWS = 16
"""The most texts that are encoded in one batch."""

_MOST = 64
"""The most chunks of a prompt. The network attends to all of them in each step."""

_SHOWN = 80
"""The number of truncated characters that a warning shows."""

_log = logger(__name__)


@dataclass(frozen=True)
class Read:
    """What a text encoder makes of one text.

    Attributes:
        states: hidden states (1, K, D).
        pooled: the pooled embedding (1, P), if the encoder has one.
    """

    states: Tensor
    pooled: Tensor | None


@dataclass
class Reader:
    """A text encoder of one call.

    Attributes:
        tokenizer: its tokenizer.
        encode: the family's function, with the options of the call.
        size: the length of a chunk in tokens, including those for start and end.
        has_pooled: whether `encode` returns pooled embeddings too; known after `read`.
    """

    tokenizer: Any
    encode: Encode
    size: int
    has_pooled: bool = field(default=False, init=False)

    @classmethod
    def of(cls, pipe: Any, component: str, encode: Encode, options: dict[str, Any]) -> Reader:
        """Return the reader of a text encoder of `pipe`.

        Args:
            encode: `(texts, **options)`. The option `length` is the size of chunks if it is less
                than what the encoder takes.
        """
        tokenizer = getattr(pipe, tokenizer_of(component), None)
        size = text_length(tokenizer, getattr(pipe, component))
        length = options.get("length")
        if length is not None:
            size = min(size, length)
            options = {**options, "length": size}
        return cls(tokenizer, partial(encode, **options), size)

    @property
    def room(self) -> int:
        """The number of tokens of a chunk without start and end."""
        return self.size - 2

    @cached_property
    def comma(self) -> int | None:
        """The token of a comma; None if that is not a single one."""
        (ids,) = self.ids([","])
        return ids[0] if len(ids) == 1 else None

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of texts, without start and end; added tokens with all vectors."""
        with guard(self.tokenizer):
            whole = [expanded(text, self.tokenizer) for text in texts]
            found: list[list[int]] = self.tokenizer(
                whole, add_special_tokens=False, verbose=False
            ).input_ids
        return found

    def tokens(self, ids: Sequence[int], hidden: Sequence[int] = ()) -> Tokens:
        """Return a chunk of ids between start and end; `hidden` are positions in the chunk."""
        start, end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        return Tokens((start, *ids, end), frozenset(hidden))

    def check_chunks(self, count: int) -> None:
        """Raise `ArgumentError` if a prompt has too many chunks."""
        if count > _MOST:
            raise ArgumentError(
                f"the prompt has {count} chunks of {self.room} tokens; at most {_MOST} are read"
            )

    def warn_of(self, lost: Sequence[int]) -> None:
        """Warn of tokens that are cut off, if there are any."""
        if lost:
            text = self.tokenizer.decode(list(lost[:_SHOWN]))[:_SHOWN]
            _log.warning(
                "the text encoder takes %d tokens; this part of the prompt was cut off: %r",
                self.size,
                text,
            )

    def read(self, rows: Sequence[Text]) -> Read:
        """Return the states (R, size, D) of texts or chunks, and their pooled embeddings."""
        distinct, places = distinct_texts(rows)
        parts = [self.encode(distinct[i : i + _ROWS]) for i in range(0, len(distinct), _ROWS)]
        self.has_pooled = isinstance(parts[0], tuple)
        pairs = parts if self.has_pooled else [(part, None) for part in parts]
        states, pooled = zip(*pairs)
        return Read(
            torch.cat(states)[places],
            None if pooled[0] is None else torch.cat(pooled)[places],
        )

    @cached_property
    def empty(self) -> Tensor:
        """The states (1, size, D) of the empty text."""
        return self.read([""]).states
