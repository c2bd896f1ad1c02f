"""Tokenizers with further tokens, and the names of the tokens of several vectors."""

from __future__ import annotations

import copy
import threading
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

    Any number of threads may use it at once. Pickles and copies of this object are empty.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = list(tokens)
        self._lock = threading.Lock()
        self._made = weakref.WeakKeyDictionary[Any, tuple[int, Any]]()

    def of(self, tokenizer: Any) -> Any:
        """Return a copy of `tokenizer` with the tokens at the end of its vocabulary.

        Raises:
            ArgumentError: if the vocabulary has one of them already.
        """
        with self._lock:
            count, (known, made) = len(tokenizer), self._made.get(tokenizer, (None, None))
            # Programs may have added tokens to it since.
            if known != count:
                made = self._longer(tokenizer)
                self._made[tokenizer] = count, made
            return made

    def _longer(self, tokenizer: Any) -> Any:
        """Return a copy with the tokens, which shares the vocabulary if the tokenizer can."""
        vocabulary = tokenizer.get_vocab()
        taken = [token for token in self._tokens if token in vocabulary]
        if taken:
            raise ArgumentError(
                f"the vocabulary has {taken[0]!r} already; deactivate the other attachment with "
                f"this token first"
            )
        if isinstance(tokenizer, Tokenizer):
            return tokenizer.with_tokens(self._tokens)
        with guard(tokenizer):
            made = copy.deepcopy(tokenizer)
        made.add_tokens(self._tokens)
        return made

    def come_from(self, tokenizer: Any) -> Any:
        """Return the tokenizer of which `tokenizer` is a copy; None if it isn't one."""
        with self._lock:
            return next((one for one, (_, made) in self._made.items() if made is tokenizer), None)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._tokens,)
