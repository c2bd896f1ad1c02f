"""Tokenizers with further tokens, and the names of the tokens of several vectors."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Sequence
from typing import Any

from autopipe.errors import ArgumentError
from autopipe.pipeline.turns import guard
from autopipe_components.processing.tokenizer import Tokenizer


def names_of(token: str, count: int) -> list[str]:
    """Return the tokens of `count` vectors: TOKEN, TOKEN_1, TOKEN_2 and so on."""
    return [token, *(f"{token}_{number}" for number in range(1, count))]


class LongerTokenizers:
    """Copies of tokenizers with further tokens; the same copy as long as the tokenizer is in use.

    Pickles and copies of this object are empty.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = list(tokens)
        self._made = weakref.WeakKeyDictionary[Any, tuple[int, Any]]()

    def of(self, tokenizer: Any) -> Any:
        """Return a copy of `tokenizer` with the tokens at the end of its vocabulary."""
        known = self._made.get(tokenizer)
        # Programs may have added tokens to it since.
        if known is not None and known[0] == len(tokenizer):
            return known[1]
        taken = [token for token in self._tokens if token in tokenizer.get_vocab()]
        if taken:
            raise ArgumentError(
                f"the vocabulary has {taken[0]!r} already; deactivate the other attachment with "
                f"this token first"
            )
        with guard(tokenizer):
            count, made = len(tokenizer), _longer(tokenizer, self._tokens)
        self._made[tokenizer] = count, made
        return made

    def come_from(self, tokenizer: Any) -> Any:
        """Return the tokenizer of which `tokenizer` is a copy; None if it isn't one."""
        return next((one for one, (_, made) in self._made.items() if made is tokenizer), None)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._tokens,)


def _longer(tokenizer: Any, tokens: Sequence[str]) -> Any:
    """Return a copy with further tokens, which shares the vocabulary if the tokenizer can."""
    if isinstance(tokenizer, Tokenizer):
        return tokenizer.with_tokens(tokens)
    made = copy.deepcopy(tokenizer)
    made.add_tokens(list(tokens))
    return made
