"""The tokenizer of T5."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tokenizers import Tokenizer as Backend
from tokenizers import processors

from .stored import WHOLE, Stored
from .unigram import UnigramTokenizer

_EXTRA = "extra_ids"
_COUNT = 100
"""How many tokens for gaps the published vocabularies have."""


class T5Tokenizer(UnigramTokenizer):
    """The pieces of T5, with an end token and tokens for gaps, `<extra_id_0>` and so on.

    See Raffel et al. 2019, arXiv 1910.10683.
    """

    vocab_files_names: ClassVar = {"vocab_file": "spiece.model", "tokenizer_file": WHOLE}
    defaults: ClassVar = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

    @classmethod
    def _made(cls, backend: Backend, stored: Stored) -> tuple[Backend, Stored]:
        count = stored.entries.get(_EXTRA, _COUNT)
        gaps = [f"<extra_id_{number}>" for number in range(count)]
        extra = stored.extra
        return super()._made(
            backend,
            replace(
                stored,
                entries={**stored.entries, _EXTRA: count},
                extra=tuple(gaps) if extra is None else extra,
            ),
        )

    def _finish(self, backend: Backend) -> None:
        end = self._needed("eos_token")
        backend.post_processor = processors.TemplateProcessing(
            single=["$A", end[0]], pair=["$A", end[0], "$B", end[0]], special_tokens=[end]
        )
