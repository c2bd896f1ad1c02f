"""The tokenizer of XLM-RoBERTa."""

from __future__ import annotations

from typing import ClassVar

from tokenizers import Tokenizer as Backend
from tokenizers import processors

from .stored import WHOLE
from .unigram import UnigramTokenizer


class XLMRobertaTokenizer(UnigramTokenizer):
    """The pieces of a hundred languages (Conneau et al. 2019, arXiv 1911.02116)."""

    vocab_files_names: ClassVar = {"vocab_file": "sentencepiece.bpe.model", "tokenizer_file": WHOLE}
    defaults: ClassVar = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "cls_token": "<s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    }

    def _prepare(self, backend: Backend, prepend: str = "always") -> None:
        is_spaced = self.init_kwargs.get("add_prefix_space", True)
        super()._prepare(backend, "always" if is_spaced else "never")

    def _finish(self, backend: Backend) -> None:
        special = self._needed("bos_token"), self._needed("eos_token")
        start, end = (token for token, _ in special)
        backend.post_processor = processors.TemplateProcessing(
            single=[start, "$A", end],
            pair=[start, "$A", end, end, "$B", end],
            special_tokens=[*special],
        )
