"""Tokenizers give what those of transformers give, and read and write the same files."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken

from autopipe.errors import ArgumentError, ArgumentTypeError

from .conftest import Kind

TEXTS = [
    "a cat", "", " \n\t ", "The  CAT's\u00a0cats, 1234!", "Ünïcödé café e\u0301 \ufb01",
    "👩\u200d🚀🎉 日本語", "\x00\x07\x7f\u200b\ufeff\u202e", "<|startoftext|>a<|endoftext|> cat",
    "</s><pad>a<unk> <s>", "<new>a <x>word sword<m> <a>", "a</w> ▁cat", "cat " * 40, "x" * 300,
    "I'll've n't 's", "\U0010ffff\ud7ff", "<extra_id_0> a <extra_id_2>", "!",
]  # fmt: skip

CALLS: list[dict[str, Any]] = [
    {},
    {"padding": "max_length", "truncation": True, "max_length": 9, "return_tensors": "pt"},
    {"padding": True, "return_tensors": "np", "verbose": False},
    {"padding": "longest", "pad_to_multiple_of": 8, "padding_side": "left"},
    {"max_length": 6},
    {"truncation": "only_first", "max_length": 5, "add_special_tokens": False},
    {"padding": True, "max_length": 7, "truncation": True, "stride": 2,
     "return_overflowing_tokens": True},
    {"return_length": True, "return_special_tokens_mask": True, "return_offsets_mapping": True,
     "return_token_type_ids": True, "return_attention_mask": False},
    {"split_special_tokens": True},
]  # fmt: skip

SETTINGS = (
    "all_special_ids", "all_special_tokens", "added_tokens_decoder", "added_tokens_encoder",
    "bos_token", "bos_token_id", "cls_token", "cls_token_id", "eos_token", "eos_token_id",
    "extra_special_tokens", "extra_special_tokens_ids", "mask_token", "mask_token_id",
    "model_input_names", "model_max_length", "name_or_path", "pad_token", "pad_token_id",
    "pad_token_type_id", "padding_side", "sep_token", "sep_token_id", "special_tokens_map",
    "truncation_side", "unk_token", "unk_token_id", "vocab", "vocab_size",
)  # fmt: skip


def plain(batch: Any) -> dict[str, Any]:
    """The values of a batch as lists, with the type of each."""
    return {
        name: (
            type(value),
            getattr(value, "dtype", None),
            value.tolist() if hasattr(value, "tolist") else value,
        )
        for name, value in batch.items()
    }


def assert_equal(ours: Any, theirs: Any) -> None:
    """Assert that two tokenizers have the same settings and vocabulary, and do the same."""
    assert len(ours) == len(theirs)
    for name in SETTINGS:
        assert getattr(ours, name) == getattr(theirs, name), name
    for keywords in CALLS:
        assert plain(ours(TEXTS, **keywords)) == plain(theirs(TEXTS, **keywords)), keywords
        for text in TEXTS:
            assert plain(ours(text, **keywords)) == plain(theirs(text, **keywords)), text
    for text in TEXTS:
        ids = ours.encode(text)
        assert ids == theirs.encode(text)
        assert ours.tokenize(text) == theirs.tokenize(text)
        assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
        assert ours.decode(ids) == theirs.decode(ids), text
        tokens = ours.convert_ids_to_tokens(ids, skip_special_tokens=True)
        assert tokens == theirs.convert_ids_to_tokens(ids, skip_special_tokens=True)
        assert ours.convert_tokens_to_string(tokens) == theirs.convert_tokens_to_string(tokens)
        assert ours.convert_tokens_to_ids(tokens) == theirs.convert_tokens_to_ids(tokens)


def test_it_gives_what_transformers_gives(kind: Kind) -> None:
    assert_equal(*kind.pair())


def test_what_it_saves_is_what_transformers_saves(kind: Kind, tmp_path: Path) -> None:
    ours, theirs = kind.pair()
    written = ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    assert sorted(written) == sorted(map(str, (tmp_path / "ours").iterdir()))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        saved = json.loads((tmp_path / "ours" / name).read_text())
        expected = json.loads((tmp_path / "theirs" / name).read_text())
        # How it was loaded says nothing about it.
        for entry in ("is_local", "local_files_only"):
            expected.pop(entry, None)
        assert saved == expected
    for cls in (kind.ours, kind.theirs):
        again = cls.from_pretrained(tmp_path / "ours")
        again.name_or_path = ours.name_or_path
        assert_equal(again, ours)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copy", "pickle"]
)
def test_a_copy_is_equal_and_independent(kind: Kind, copied: Any) -> None:
    ours, theirs = kind.pair()
    made = copied(ours)
    made.add_tokens(["<other>"])
    made.pad_token = "<other>"
    assert_equal(ours, theirs)
    row = made("a", padding="max_length", max_length=12, padding_side="left").input_ids
    assert row[0] == made.pad_token_id == len(ours)


def test_a_longer_tokenizer_is_that_with_added_tokens(kind: Kind) -> None:
    (ours, theirs), (_, expected) = kind.pair(), kind.pair()
    for one in (ours, theirs, expected):
        one.padding_side = "left"
        one.add_tokens(["<other>"])
    expected.add_tokens(["<first>", "second"])
    longer = ours.with_tokens(["<first>", "second"])
    assert type(longer) is type(ours)
    assert_equal(longer, expected)
    longer.pad_token = "<first>"
    assert_equal(ours, theirs)
    with pytest.raises(ArgumentError, match="has <other>, a already"):
        ours.with_tokens(["<other>", "a", "<third>"])


def test_to_transformers_gives_their_class(kind: Kind) -> None:
    ours, _ = kind.pair()
    found = ours.to_transformers()
    assert type(found) is kind.theirs
    assert_equal(ours, found)


def test_tokens_are_added_and_set_as_in_transformers(kind: Kind) -> None:
    both = kind.pair()
    for one in both:
        assert one.add_tokens(["<first>", "▁second", "a"]) == 3
        assert one.add_tokens(AddedToken("third", rstrip=True), special_tokens=True) == 1
        assert one.add_special_tokens({"pad_token": "<p>", "extra_special_tokens": ["<e>"]}) == 2
        assert one.add_special_tokens({"mask_token": "<p>"}) == 0
        one.sep_token = "third"
        one.cls_token_id = 7
    assert_equal(*both)
    for one in both:
        assert one.encode("<first> third<e>", add_special_tokens=False)[-1] == len(one) - 1
        one.pad_token = one.mask_token = None
    with pytest.raises(ArgumentError, match="pad_token"):
        both[0](["a", "b c"], padding=True)


def test_special_tokens_are_checked(kind: Kind) -> None:
    ours, _ = kind.pair()
    with pytest.raises(ArgumentError, match=r"no special token 'spare'.*pad_token"):
        ours.add_special_tokens({"spare": "<s>"})
    with pytest.raises(ArgumentTypeError, match="pad_token must be text"):
        ours.pad_token = 3
    with pytest.raises(ArgumentTypeError, match="list of tokens"):
        ours.add_special_tokens({"extra_special_tokens": "<s>"})
    with pytest.raises(AttributeError, match="nothing"):
        _ = ours.nothing


@pytest.mark.parametrize("pair", [("a cat", "b"), (["a", "b c d e"], ["f g", "h"])])
@pytest.mark.parametrize("keywords", [{}, {"truncation": "only_first", "max_length": 9},
                                      {"truncation": True, "max_length": 7}])  # fmt: skip
def test_pairs_of_texts(kind: Kind, pair: Any, keywords: dict[str, Any]) -> None:
    ours, theirs = kind.pair()
    assert plain(ours(*pair, **keywords)) == plain(theirs(*pair, **keywords))


def test_texts_in_words(kind: Kind) -> None:
    ours, theirs = kind.pair()
    for words in (["a", "cat b"], [["a", "b"], ["cat"]]):
        found = ours(words, is_split_into_words=True)
        assert plain(found) == plain(theirs(words, is_split_into_words=True))
        assert found.word_ids() == theirs(words, is_split_into_words=True).word_ids()


def test_rows_are_padded_as_for_a_data_loader(kind: Kind) -> None:
    ours, theirs = kind.pair()
    rows = [ours("a"), ours("a cat and b")]
    for keywords in ({}, {"return_tensors": "pt"}, {"padding": "max_length", "max_length": 11},
                     {"pad_to_multiple_of": 8, "padding_side": "left"}):  # fmt: skip
        expected = theirs.pad([dict(row) for row in rows], **keywords)
        assert plain(ours.pad(rows, **keywords)) == plain(expected)
        ids = {"input_ids": [row["input_ids"] for row in rows]}
        assert plain(ours.pad(ids, **keywords)) == plain(theirs.pad({**ids}, **keywords))
    single = {"padding": "max_length", "max_length": 9}
    assert plain(ours.pad(rows[0], **single)) == plain(theirs.pad(dict(rows[0]), **single))
    with pytest.raises(ArgumentError, match="input_ids"):
        ours.pad({"labels": [[1]]})


def test_ids_of_every_kind_are_decoded(kind: Kind) -> None:
    ours, theirs = kind.pair()
    rows = ours(["a cat", "b a cat"], padding="max_length", max_length=9).input_ids
    for ids in (rows[0], rows, np.array(rows), torch.tensor(rows), torch.tensor(rows[1]), 7):
        assert ours.decode(ids) == theirs.decode(ids)
    assert ours.batch_decode(torch.tensor(rows), skip_special_tokens=True) == theirs.batch_decode(
        rows, skip_special_tokens=True
    )
    assert ours.batch_decode([]) == []
    cleaned = ours.encode("a , cat .")
    assert ours.decode(cleaned, clean_up_tokenization_spaces=True) == theirs.decode(
        cleaned, clean_up_tokenization_spaces=True
    )


def test_a_batch_is_a_dict_with_attributes(kind: Kind) -> None:
    ours, _ = kind.pair()
    found = ours(["a cat", "b"], padding=True, return_tensors="pt")
    assert {**found}.keys() == {*kind.ours.input_names}
    assert found.input_ids is found["input_ids"]
    assert found[:1]["input_ids"].shape[0] == 1
    assert found.tokens(1) == list(found[1].tokens)
    assert found.to("meta") is found
    assert found.attention_mask.device.type == "meta"
    again = pickle.loads(pickle.dumps(ours("a cat")))
    assert again.input_ids == ours("a cat").input_ids
    assert again.tokens() == ours("a cat").tokens()
    with pytest.raises(AttributeError, match="labels"):
        _ = found.labels
    with pytest.raises(ArgumentError, match="tokens"):
        ours.pad({"input_ids": [[1]]}).tokens()


def test_a_call_leaves_no_trace_and_threads_dont_meet(kind: Kind) -> None:
    ours, _ = kind.pair()
    before = ours.backend_tokenizer.to_str()
    wanted = [{"padding": "max_length", "max_length": n, "truncation": True} for n in range(4, 12)]
    expected = [ours(TEXTS, **keywords) for keywords in wanted]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            if ours(TEXTS, **wanted[number]) != expected[number]:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(wanted))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert ours.backend_tokenizer.to_str() == before


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"padding": "widest"}, "padding must be True, False or one of"),
        ({"truncation": 3}, "truncation must be"),
        ({"padding_side": "top"}, "padding_side"),
        ({"return_tensors": "tf"}, "return_tensors"),
        ({"return_tensors": "pt"}, "different lengths"),
        ({"padding": True, "truncation": True, "max_length": 7, "pad_to_multiple_of": 2}, "7"),
        ({"text_pair": ["b"]}, "text_pair"),
    ],
)
def test_arguments_that_dont_fit_are_named(
    kind: Kind, keywords: dict[str, Any], words: str
) -> None:
    ours, _ = kind.pair()
    with pytest.raises(ArgumentError, match=words):
        ours(["a", "b c d"], **keywords)


def test_a_text_too_short_to_be_cut_is_named(kind: Kind) -> None:
    ours, _ = kind.pair()
    with pytest.raises(ArgumentError, match=r"too short.*max_length and truncation"):
        ours("a b c d e f g", "h", truncation="only_second", max_length=6)


@pytest.mark.parametrize("text", [None, 3, ["a", None], b"a"])
def test_only_texts_are_tokenized(kind: Kind, text: Any) -> None:
    ours, _ = kind.pair()
    with pytest.raises(ArgumentTypeError, match="texts"):
        ours(text)


def test_a_text_without_end_is_warned_of_once(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    ours, _ = kind.pair()
    ours.model_max_length = 12
    for _ in range(2):
        ours("cat " * 40)
        ours("cat " * 40, truncation=True)
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        f"a text has {len(ours('cat ' * 40).input_ids)} tokens"
    ]


def test_a_folder_that_is_absent_is_named(kind: Kind, tmp_path: Path) -> None:
    assert kind.ours.from_pretrained(kind.folder.parent, subfolder=kind.folder.name)
    with pytest.raises(ArgumentError, match=r"not a folder.*from the Hub"):
        kind.ours.from_pretrained(tmp_path / "absent")
