from __future__ import annotations

from pathlib import Path

from stable_diffusion_demo import shapes
from stable_diffusion_demo.tokenizer import apply, byte_alphabet, merges, write_tokenizer
from transformers import CLIPTokenizer


def test_the_alphabet_stands_for_every_byte_once():
    letters = byte_alphabet()
    assert len(set(letters)) == 256
    assert not any(letter.isspace() for letter in letters)


def test_merges_join_each_word_although_words_share_letters():
    words = ["red", "green", "tree", "on", "one"]
    ranked = merges(words)
    for word in words:
        assert apply(ranked, [*word[:-1], word[-1] + "</w>"]) == [word + "</w>"]
    assert len(set(ranked)) == len(ranked)


def test_every_word_of_the_captions_is_one_token_of_an_ordinary_clip_tokenizer(tmp_path: Path):
    write_tokenizer(tmp_path)
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    ids = [tokenizer(word).input_ids for word in shapes.vocabulary()]
    assert all(len(i) == 3 for i in ids)
    assert len({i[1] for i in ids}) == len(ids)


def test_unknown_words_become_letters_that_are_known(tmp_path: Path):
    tokenizer = write_tokenizer(tmp_path)
    ids = tokenizer("Ünknown zebra!").input_ids
    assert ids[0] == tokenizer.bos_token_id
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.eos_token_id not in ids[1:-1]
