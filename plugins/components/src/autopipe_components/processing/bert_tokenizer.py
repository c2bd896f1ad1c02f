"""The tokenizer of BERT."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from autopipe.errors import ConfigError
from autopipe.wording import shown

from .stored import CONFIG, WHOLE
from .tokenizer import Tokenizer

_VOCABULARY = "vocab.txt"


class BertTokenizer(Tokenizer):
    """Words, and pieces of words that begin with `##` (Devlin et al. 2018, arXiv 1810.04805)."""

    vocab_files_names: ClassVar = {"vocab_file": _VOCABULARY, "tokenizer_file": WHOLE}
    model = WordPiece
    defaults: ClassVar = {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    input_names: ClassVar = ("input_ids", "token_type_ids", "attention_mask")

    @classmethod
    def _backend(cls, folder: Path) -> Backend | None:
        part = folder / _VOCABULARY
        if (folder / WHOLE).is_file() or not part.is_file():
            return super()._backend(folder)
        return Backend(WordPiece.from_file(str(part)))

    def _prepare(self, backend: Backend) -> None:
        unknown = str(self._named["unk_token"])
        if backend.model.token_to_id(unknown) is None:
            raise ConfigError(
                f"{CONFIG} in {self.name_or_path} gives {shown(unknown)} as unk_token, which is "
                f"not in the vocabulary; correct it"
            )
        backend.model.unk_token = unknown
        backend.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=bool(self.init_kwargs.setdefault("tokenize_chinese_chars", True)),
            strip_accents=self.init_kwargs.setdefault("strip_accents", None),
            lowercase=bool(self.init_kwargs.setdefault("do_lower_case", True)),
        )
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece(prefix="##")

    def _finish(self, backend: Backend) -> None:
        special = self._needed("cls_token"), self._needed("sep_token")
        start, end = (token for token, _ in special)
        backend.post_processor = processors.TemplateProcessing(
            single=f"{start}:0 $A:0 {end}:0",
            pair=f"{start}:0 $A:0 {end}:0 $B:1 {end}:1",
            special_tokens=[*special],
        )
