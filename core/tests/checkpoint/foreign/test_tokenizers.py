from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.odd import JSON, refusal, says
from support.tiny import make_tokenizer
from transformers import CLIPTokenizer, T5Tokenizer, XLMRobertaTokenizer

from autopipe.checkpoint.foreign.entries import TokenizerEntries
from autopipe.checkpoint.foreign.processors import load_processor
from autopipe.checkpoint.source import LocalSource
from autopipe.errors import CheckpointError, ConfigError, DamagedFileError

CONFIG = "tokenizer_config.json"
LETTERS = [(start + one, -2.0) for start in ("▁", "") for one in string.ascii_lowercase]


def load(cls: Any, folder: Path) -> Any:
    return load_processor(cls, LocalSource(folder.parent), (folder.name,))


def call(tokenizer: Any, texts: list[str], length: int = 12) -> list[list[int]]:
    length = int(min(length, tokenizer.model_max_length))
    tokens = tokenizer(texts, padding="max_length", max_length=length, truncation=True)
    assert all(len(row) == length for row in tokens.attention_mask)
    return tokens.input_ids


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder of vocabulary and merges, as older releases saved it."""
    folder = tmp_path / "parts"
    folder.mkdir()
    make_tokenizer(folder)
    (folder / CONFIG).write_text(json.dumps({"model_max_length": 12}))
    return folder


@pytest.fixture
def clip(parts: Path, tmp_path: Path) -> Path:
    """A folder of one file."""
    CLIPTokenizer.from_pretrained(parts).save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


@pytest.fixture
def t5(tmp_path: Path) -> Path:
    special = [(one, 0.0) for one in ("<pad>", "</s>", "<unk>")]
    T5Tokenizer(vocab=[*special, *LETTERS, ("▁", -4.0)], extra_ids=0).save_pretrained(
        tmp_path / "t5"
    )
    return tmp_path / "t5"


@pytest.fixture
def xlm(tmp_path: Path) -> Path:
    special = [(one, 0.0) for one in ("<s>", "<pad>", "</s>", "<unk>")]
    vocab = [*special, *LETTERS, ("▁", -4.0), ("<mask>", 0.0)]
    XLMRobertaTokenizer(vocab=vocab, model_max_length=77).save_pretrained(tmp_path / "xlm")
    return tmp_path / "xlm"


KINDS = {"parts": CLIPTokenizer, "clip": CLIPTokenizer, "t5": T5Tokenizer,
         "xlm": XLMRobertaTokenizer}  # fmt: skip


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[Any, Path]:
    return KINDS[request.param], request.getfixturevalue(request.param)


def test_a_good_one_loads_and_is_left_as_it_was(kind: tuple[Any, Path], tmp_path: Path) -> None:
    cls, folder = kind
    found, own = load(cls, folder), cls.from_pretrained(folder)
    assert call(found, ["a cat", "b"]) == call(own, ["a cat", "b"])
    load(cls, folder).save_pretrained(tmp_path / "ours")
    cls.from_pretrained(folder).save_pretrained(tmp_path / "own")
    assert (tmp_path / "ours/tokenizer.json").read_text() == (
        tmp_path / "own/tokenizer.json"
    ).read_text()


def test_one_without_a_vocabulary_is_refused(kind: tuple[Any, Path]) -> None:
    cls, folder = kind
    for file in folder.iterdir():
        if file.name != CONFIG:
            file.unlink()
    with pytest.raises(DamagedFileError, match="no vocabulary"):
        load(cls, folder)


@pytest.mark.parametrize("absent", ["vocab.json", "merges.txt"])
def test_half_of_a_vocabulary_is_refused(parts: Path, absent: str) -> None:
    (parts / absent).unlink()
    with pytest.raises(DamagedFileError, match=absent):
        load(CLIPTokenizer, parts)


def test_words_without_the_merges_that_make_them_are_refused(parts: Path, clip: Path) -> None:
    (parts / "merges.txt").write_text("#version: 0.2\n")
    content = json.loads((clip / "tokenizer.json").read_text())
    content["model"]["merges"] = []
    (clip / "tokenizer.json").write_text(json.dumps(content))
    for folder in (parts, clip):
        with pytest.raises(DamagedFileError, match="into letters"):
            load(CLIPTokenizer, folder)


@pytest.mark.parametrize("vocabulary", [{}, {"<|startoftext|>": 0, "<|endoftext|>": 1}])
def test_a_vocabulary_without_words_is_refused(parts: Path, vocabulary: dict[str, int]) -> None:
    (parts / "vocab.json").write_text(json.dumps(vocabulary))
    (parts / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(CheckpointError, match="parts"):
        load(CLIPTokenizer, parts)


def test_a_vocabulary_of_specials_in_one_file_is_refused(t5: Path, xlm: Path) -> None:
    for cls, folder in ((T5Tokenizer, t5), (XLMRobertaTokenizer, xlm)):
        content = json.loads((folder / "tokenizer.json").read_text())
        content["model"]["vocab"] = content["model"]["vocab"][:4]
        content["added_tokens"] = [one for one in content["added_tokens"] if one["id"] < 4]
        (folder / "tokenizer.json").write_text(json.dumps(content))
        with pytest.raises(CheckpointError, match=folder.name):
            load(cls, folder)


@pytest.mark.parametrize("name", [".gitkeep", ".gitattributes", "notes.txt", "README.md"])
def test_an_empty_file_that_is_not_read_does_no_harm(kind: tuple[Any, Path], name: str) -> None:
    (kind[1] / name).touch()
    assert load(*kind)


def test_parts_beside_the_whole_are_not_read(clip: Path) -> None:
    (clip / "vocab.json").touch()
    (clip / "merges.txt").touch()
    assert load(CLIPTokenizer, clip)


def test_a_file_larger_than_any_vocabulary_is_not_opened(clip: Path) -> None:
    with (clip / "tokenizer.json").open("r+b") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(DamagedFileError, match="the limit for vocabularies"):
        load(CLIPTokenizer, clip)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"model_max_length": -5}, r"'model_max_length' in .* not -5;"),
        ({"model_max_length": float("nan")}, r"'model_max_length' in .* not nan;"),
        ({"model_max_length": "77"}, r"'model_max_length' in .* not '77';"),
        ({"model_max_length": True}, r"'model_max_length' in .* not True;"),
        ({"model_max_length": 2}, "more than the 2 special tokens"),
        ({"pad_token": None}, "pad_token"),
        ({"eos_token": None}, "has null for eos_token"),
        ({"bos_token": {"content": ""}}, "'bos_token'"),
        ({"truncation_side": "up"}, "'left' or 'right'"),
        ({"extra_ids": 10**9}, "extra_ids"),
        ({"model_input_names": ["input_ids"]}, "lacks 'attention_mask'"),
        ({"added_tokens_decoder": {"x": {"content": "y"}}}, "added_tokens_decoder"),
        ({"_json_padding": {}}, "_json_padding"),
        ({"note": "\ud83d"}, "note"),
    ],
)
def test_an_entry_that_makes_it_useless_is_named(
    clip: Path, edit: Callable[..., None], entries: dict[str, Any], words: str
) -> None:
    edit(clip / CONFIG, **entries)
    with pytest.raises((ConfigError, CheckpointError), match=words) as caught:
        load(CLIPTokenizer, clip)
    assert CONFIG in str(caught.value)


@pytest.mark.parametrize("length", [None, 10**30, 77.0, float("inf"), 3])
def test_a_length_that_transformers_takes_is_taken(
    clip: Path, edit: Callable[..., None], length: Any
) -> None:
    edit(clip / CONFIG, model_max_length=length)
    assert call(load(CLIPTokenizer, clip), ["a cat"])


@pytest.mark.parametrize("name", TokenizerEntries.model_fields)
@pytest.mark.parametrize("kind", ["parts", "xlm"], indirect=True)
def test_every_entry_with_every_value_works_or_is_named(
    kind: tuple[Any, Path], name: str, tmp_path: Path
) -> None:
    cls, folder = kind
    original = json.loads((folder / CONFIG).read_text())

    def use(tokenizer: Any) -> None:
        call(tokenizer, ["a cat", "b"])
        tokenizer.save_pretrained(tmp_path / "again")

    for value in JSON.values():
        (folder / CONFIG).write_text(json.dumps({**original, name: value}))
        error = refusal(lambda: use(load(cls, folder)))
        assert error is None or says(error, CONFIG, name)
