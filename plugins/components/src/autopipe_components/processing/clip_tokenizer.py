"""The tokenizer of CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tokenizers import Regex, decoders, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE

from .stored import WHOLE
from .tokenizer import Tokenizer

_VOCABULARY, _MERGES = "vocab.json", "merges.txt"

_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
"""Special tokens, endings of English words, words, digits, and what stands between them."""

_END_OF_WORD = "</w>"


class CLIPTokenizer(Tokenizer):
    """Byte-level byte-pair encoding of lower-case text (Radford et al. 2021, arXiv 2103.00020)."""

    vocab_files_names: ClassVar = {
        "vocab_file": _VOCABULARY,
        "merges_file": _MERGES,
        "tokenizer_file": WHOLE,
    }
    model = BPE
    defaults: ClassVar = {
        "unk_token": "<|endoftext|>",
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }

    @classmethod
    def _backend(cls, folder: Path) -> Backend | None:
        parts = folder / _VOCABULARY, folder / _MERGES
        if (folder / WHOLE).is_file() or not all(part.is_file() for part in parts):
            return super()._backend(folder)
        return Backend(BPE.from_file(*map(str, parts)))

    def _prepare(self, backend: Backend) -> None:
        model = backend.model
        model.unk_token = str(self._named["unk_token"])
        model.continuing_subword_prefix, model.end_of_word_suffix = "", _END_OF_WORD
        model.dropout = None
        model.fuse_unk = model.byte_fallback = model.ignore_merges = False
        backend.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        backend.decoder = decoders.ByteLevel()

    def _finish(self, backend: Backend) -> None:
        backend.post_processor = processors.RobertaProcessing(
            self._needed("eos_token"),
            self._needed("bos_token"),
            trim_offsets=False,
            add_prefix_space=False,
        )

    def _text(self, ids: list[int], skip_special_tokens: bool, clean: bool) -> str:
        # Cleaning is for vocabularies with spaces between words; it would remove real ones.
        text = super()._text(ids, skip_special_tokens, clean=False)
        return text.replace(_END_OF_WORD, " ").strip()
