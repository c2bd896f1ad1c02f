"""Tokenizers with tiny vocabularies, as transformers and older releases of it save them."""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import transformers
from support.tiny import make_tokenizer

from autopipe_components.processing.bert_tokenizer import BertTokenizer
from autopipe_components.processing.clip_tokenizer import CLIPTokenizer
from autopipe_components.processing.t5_tokenizer import T5Tokenizer
from autopipe_components.processing.tokenizer import Tokenizer
from autopipe_components.processing.xlm_roberta_tokenizer import XLMRobertaTokenizer

LETTERS = [(start + one, -2.0) for start in ("▁", "") for one in string.ascii_lowercase]
PIECES = [*LETTERS, ("▁", -4.0), ("▁cat", -3.0), ("at", -2.5), ("é", -3.5), ("日", -6.0)]


@dataclass
class Kind:
    """A class, and a folder that it reads."""

    ours: type[Tokenizer]
    folder: Path

    @property
    def theirs(self) -> Any:
        return getattr(transformers, self.ours.__name__)

    def pair(self) -> tuple[Any, Any]:
        return self.ours.from_pretrained(self.folder), self.theirs.from_pretrained(self.folder)


def parts(folder: Path) -> Kind:
    make_tokenizer(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 12}))
    return Kind(CLIPTokenizer, folder)


def older(folder: Path) -> Kind:
    """What releases before transformers 5 write."""
    make_tokenizer(folder)
    token = {"content": "<|endoftext|>", "lstrip": False, "normalized": True, "rstrip": False,
             "single_word": False}  # fmt: skip
    entries = {
        "add_prefix_space": False,
        "bos_token": {**token, "__type": "AddedToken", "content": "<|startoftext|>"},
        "eos_token": {**token, "__type": "AddedToken"},
        "errors": "replace",
        "model_max_length": 12,
        "name_or_path": "somebody/something",
        "pad_token": "<|endoftext|>",
        "special_tokens_map_file": "./special_tokens_map.json",
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": {**token, "__type": "AddedToken"},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(entries))
    special = {"pad_token": "!", "mask_token": token, "additional_special_tokens": ["<a>"]}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "added_tokens.json").write_text(json.dumps({"<new>": 517, "<a>": 518}))
    return Kind(CLIPTokenizer, folder)


def clip(folder: Path) -> Kind:
    """A complete tokenizer with tokens of every sort, which was used before it was saved."""
    made = make_tokenizer(folder, padding_side="left")
    made.add_tokens(["<new>", transformers.AddedToken("word", single_word=True, lstrip=True)])
    made.add_special_tokens({"mask_token": "<m>", "extra_special_tokens": ["<x>"]})
    made("a cat", padding="max_length", truncation=True, max_length=7)
    for file in (*folder.iterdir(),):
        file.unlink()
    made.save_pretrained(folder)
    return Kind(CLIPTokenizer, folder)


def t5(folder: Path) -> Kind:
    special = [(one, 0.0) for one in ("<pad>", "</s>", "<unk>")]
    transformers.T5Tokenizer(vocab=[*special, *PIECES], extra_ids=3).save_pretrained(folder)
    return Kind(T5Tokenizer, folder)


def xlm(folder: Path) -> Kind:
    special = [(one, 0.0) for one in ("<s>", "<pad>", "</s>", "<unk>")]
    made = transformers.XLMRobertaTokenizer(
        vocab=[*special, *PIECES, ("<mask>", 0.0)], model_max_length=77
    )
    made.save_pretrained(folder)
    return Kind(XLMRobertaTokenizer, folder)


def bert(folder: Path) -> Kind:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [start + one for start in ("", "##") for one in string.ascii_lowercase]
    words = [*special, *letters, "cat", "##at", "é", "日"]
    made = transformers.BertTokenizer({word: n for n, word in enumerate(words)})
    made.save_pretrained(folder)
    return Kind(BertTokenizer, folder)


def words(folder: Path) -> Kind:
    """The vocabulary of BERT as releases before transformers 5 write it."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    lines = [*special, *string.ascii_letters, "cat", *(f"##{one}" for one in "abct")]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    entries = {"do_lower_case": False, "model_max_length": 12, "tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(entries))
    return Kind(BertTokenizer, folder)


@pytest.fixture(params=[parts, older, clip, t5, xlm, bert, words], ids=lambda make: make.__name__)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    (tmp_path / "tokenizer").mkdir()
    made: Kind = request.param(tmp_path / "tokenizer")
    return made
