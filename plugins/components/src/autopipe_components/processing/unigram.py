"""The base of tokenizers with a vocabulary of SentencePiece."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from tokenizers.normalizers import Normalizer

from .stored import Stored
from .tokenizer import Tokenizer

_SPACE = "▁"


class UnigramTokenizer(Tokenizer):
    """Splits a text into its likeliest pieces (Kudo 2018, arXiv 1804.10959)."""

    model = Unigram

    @classmethod
    def _made(cls, backend: Backend, stored: Stored) -> tuple[Backend, Stored]:
        made = Backend(backend.model)
        characters = _characters(backend.normalizer)
        if characters is not None:
            made.normalizer = characters
        return made, stored

    def _prepare(self, backend: Backend, prepend: str = "always") -> None:
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.WhitespaceSplit(),
                pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme=prepend),
            ]
        )
        backend.decoder = decoders.Metaspace(replacement=_SPACE, prepend_scheme=prepend)


def _characters(normalizer: Normalizer | None) -> Normalizer | None:
    """Return the part of `normalizer` that replaces characters by SentencePiece's table."""
    several = isinstance(normalizer, normalizers.Sequence)
    parts: list[Any] = [*normalizer] if several else [normalizer]  # type: ignore[misc]
    return next((part for part in parts if isinstance(part, normalizers.Precompiled)), None)
