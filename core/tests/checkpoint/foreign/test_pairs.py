from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.tiny import make_tokenizer
from transformers import CLIPImageProcessor, T5Config, T5EncoderModel

from autopipe.checkpoint.foreign.pairs import check_pairs
from autopipe.errors import ConfigError

from ..conftest import text_encoder


@pytest.fixture
def tokenizer(tmp_path: Path) -> Any:
    return make_tokenizer(tmp_path)


def shifted(folder: Path) -> Any:
    """A tokenizer whose ids have a gap."""
    made = make_tokenizer(folder)
    vocab = {word: i + 1000 for word, i in made.get_vocab().items()}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    return type(made)(str(folder / "vocab.json"), str(folder / "merges.txt"))


@pytest.mark.parametrize("number", ["", "_2", "_3"])
def test_tokens_that_the_encoder_does_not_know_are_refused(
    tokenizer: Any, number: str, tmp_path: Path
) -> None:
    names = f"tokenizer{number}", f"text_encoder{number}"
    check_pairs(dict(zip(names, (tokenizer, text_encoder(len(tokenizer))))), tmp_path)
    with pytest.raises(ConfigError, match=rf"tokenizer{number} of .* up to 516, .* below 516"):
        check_pairs(dict(zip(names, (tokenizer, text_encoder(len(tokenizer) - 1)))), tmp_path)


def test_ids_with_a_gap_are_counted_to_the_last(tmp_path: Path) -> None:
    pair = {"tokenizer": shifted(tmp_path), "text_encoder": text_encoder(1516)}
    with pytest.raises(ConfigError, match="up to 1516"):
        check_pairs(pair, tmp_path)
    check_pairs({**pair, "text_encoder": text_encoder(1517)}, tmp_path)


def test_added_tokens_count_and_what_the_message_says_helps(tokenizer: Any, tmp_path: Path) -> None:
    encoder = text_encoder(len(tokenizer))
    tokenizer.add_tokens(["<cat>", "<dog>"])
    pair = {"tokenizer": tokenizer, "text_encoder": encoder}
    with pytest.raises(ConfigError, match=r"resize_token_embeddings\(519\)"):
        check_pairs(pair, tmp_path)
    encoder.resize_token_embeddings(519)
    check_pairs(pair, tmp_path)


def test_another_kind_of_encoder_is_asked_the_same_way(tokenizer: Any, tmp_path: Path) -> None:
    config = T5Config(d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2, vocab_size=99)
    with pytest.raises(ConfigError, match="below 99"):
        check_pairs({"tokenizer": tokenizer, "text_encoder": T5EncoderModel(config)}, tmp_path)


def test_what_can_not_be_compared_passes(tokenizer: Any, tmp_path: Path) -> None:
    check_pairs({"tokenizer": tokenizer}, tmp_path)
    check_pairs({"tokenizer": tokenizer, "text_encoder": None}, tmp_path)
    check_pairs({"tokenizer": tokenizer, "text_encoder": lambda ids: ids}, tmp_path)
    check_pairs({"tokenizer": str.split, "text_encoder": text_encoder()}, tmp_path)
    check_pairs({"feature_extractor": str.split, "safety_checker": text_encoder()}, tmp_path)


def test_images_of_another_size_than_the_checker_reads_are_refused(tmp_path: Path) -> None:
    vision = SimpleNamespace(image_size=16)
    checker = SimpleNamespace(config=SimpleNamespace(vision_config=vision))
    pair = {"feature_extractor": CLIPImageProcessor(crop_size=16), "safety_checker": checker}
    check_pairs(pair, tmp_path)
    with pytest.raises(ConfigError, match=r"crop_size.*16 x 16"):
        check_pairs({**pair, "feature_extractor": CLIPImageProcessor(crop_size=15)}, tmp_path)
