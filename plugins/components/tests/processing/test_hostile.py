"""The checks of what checkpoints hold apply to these classes as to those of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.odd import JSON, refusal, says

from autopipe.checkpoint.foreign.entries import ImageEntries, TokenizerEntries
from autopipe.checkpoint.foreign.processors import load_processor
from autopipe.checkpoint.source import LocalSource
from autopipe.errors import CheckpointError, ConfigError, DamagedFileError, UnsafeCheckpointError
from autopipe_components.processing.clip_image_processor import CLIPImageProcessor

from .conftest import Kind, clip, parts

CONFIG = "tokenizer_config.json"


def load(cls: Any, folder: Path) -> Any:
    return load_processor(cls, LocalSource(folder.parent), (folder.name,))


def rewrite(file: Path, **entries: Any) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**content, **entries}))


def test_a_good_one_is_left_as_it_was(kind: Kind) -> None:
    found = load(kind.ours, kind.folder)
    assert type(found) is kind.ours
    own = kind.ours.from_pretrained(kind.folder)
    assert found.backend_tokenizer.to_str() == own.backend_tokenizer.to_str()


def test_one_without_a_vocabulary_is_refused(kind: Kind) -> None:
    for file in kind.folder.iterdir():
        if file.name != CONFIG:
            file.unlink()
    with pytest.raises(DamagedFileError, match="no vocabulary"):
        load(kind.ours, kind.folder)


def test_words_without_the_merges_that_make_them_are_refused(tmp_path: Path) -> None:
    for make in (parts, clip):
        (tmp_path / make.__name__).mkdir()
        made = make(tmp_path / make.__name__)
        whole, merges = made.folder / "tokenizer.json", made.folder / "merges.txt"
        if merges.exists():
            merges.write_text("#version: 0.2\n")
        else:
            content = json.loads(whole.read_text())
            content["model"]["merges"] = []
            content["added_tokens"] = [one for one in content["added_tokens"] if one["special"]]
            whole.write_text(json.dumps(content))
        with pytest.raises(DamagedFileError, match="into letters"):
            load(made.ours, made.folder)


def test_a_vocabulary_of_another_kind_is_refused(kind: Kind, tmp_path: Path) -> None:
    others = {"BPE": "Unigram", "Unigram": "BPE", "WordPiece": "BPE"}
    own = type(kind.ours.from_pretrained(kind.folder).backend_tokenizer.model).__name__
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}
    if others[own] == "Unigram":
        model = {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0.0], ["b", 0.0]]}
    content = {"version": "1.0", "added_tokens": [], "model": model}
    (kind.folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=f"of the kind {others[own]}"):
        load(kind.ours, kind.folder)


def test_a_file_larger_than_any_vocabulary_is_not_opened(kind: Kind) -> None:
    with (kind.folder / "tokenizer.json").open("a+b") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(DamagedFileError, match="the limit for vocabularies"):
        load(kind.ours, kind.folder)


def test_a_link_or_a_path_that_leads_out_is_refused(kind: Kind, tmp_path: Path) -> None:
    rewrite(kind.folder / CONFIG, vocab_file=str(tmp_path / "secret.json"))
    with pytest.raises(UnsafeCheckpointError, match="vocab_file"):
        load(kind.ours, kind.folder)
    rewrite(kind.folder / CONFIG, vocab_file=None)
    (kind.folder / "link.json").symlink_to(tmp_path.parent)
    with pytest.raises(UnsafeCheckpointError):
        load(kind.ours, kind.folder)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"model_max_length": -5}, r"'model_max_length' in .* not -5;"),
        ({"model_max_length": 1}, "more than the . special tokens"),
        ({"pad_token": None}, "pad_token"),
        ({"eos_token": None, "sep_token": None}, "null for (eos|sep)_token"),
        ({"model_input_names": ["input_ids"]}, "lacks 'attention_mask'"),
        ({"added_tokens_decoder": {"x": {"content": "y"}}}, "added_tokens_decoder"),
        ({"bos_token": 3}, "bos_token"),
    ],
)
def test_an_entry_that_makes_it_useless_is_named(
    kind: Kind, entries: dict[str, Any], words: str
) -> None:
    (kind.folder / "special_tokens_map.json").unlink(missing_ok=True)
    rewrite(kind.folder / CONFIG, **entries)
    with pytest.raises((ConfigError, CheckpointError), match=words) as caught:
        load(kind.ours, kind.folder)
    assert CONFIG in str(caught.value)


@pytest.mark.parametrize("name", TokenizerEntries.model_fields)
def test_every_entry_with_every_value_works_or_is_named(
    kind: Kind, name: str, tmp_path: Path
) -> None:
    original = json.loads((kind.folder / CONFIG).read_text())

    def use() -> None:
        found = load(kind.ours, kind.folder)
        length = int(min(found.model_max_length, 12))
        found(["a cat", "b"], padding="max_length", truncation=True, max_length=length)
        found.save_pretrained(tmp_path / "again")

    for value in JSON.values():
        (kind.folder / CONFIG).write_text(json.dumps({**original, name: value}))
        error = refusal(use)
        assert error is None or says(error, CONFIG, name)


@pytest.mark.parametrize("name", ImageEntries.model_fields)
def test_every_entry_of_images_with_every_value_works_or_is_named(
    name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "feature_extractor"
    folder.mkdir()
    for value in JSON.values():
        rewrite(folder / "preprocessor_config.json", **{name: value})
        error = refusal(lambda: load(CLIPImageProcessor, folder))
        assert error is None or says(error, "preprocessor_config.json", name)
