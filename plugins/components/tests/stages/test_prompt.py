from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.stages.prompt import check_clip_skip, distinct_texts, tokenize


class Letters:
    """A token for each letter, between 1 and 2, padded with 0."""

    def __call__(self, text, max_length=None, verbose=True, **how):
        if isinstance(text, str):
            return SimpleNamespace(input_ids=[1, *map(ord, text), 2])
        ids = torch.zeros(len(text), max_length, dtype=torch.long)
        for row, one in zip(ids, text):
            whole = self(one).input_ids
            kept = [*whole[: max_length - 1], 2] if len(whole) > max_length else whole
            row[: len(kept)] = torch.tensor(kept)
        return SimpleNamespace(input_ids=ids, attention_mask=(ids > 0).long())

    def decode(self, ids):
        return "".join(map(chr, ids))


def test_each_text_once():
    assert distinct_texts(["a", "b", "a"]) == (["a", "b"], [0, 1, 0])


def test_what_is_cut_off_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        ids, mask = tokenize(Letters(), ["abcdef", "ab"], 5)
    assert ids.tolist() == [[1, 97, 98, 99, 2], [1, 97, 98, 2, 0]]
    assert mask.tolist() == [[1] * 5, [1, 1, 1, 1, 0]]
    assert [record.getMessage() for record in caplog.records] == [
        "the text encoder reads 5 tokens; it did not get 'def'"
    ]


def test_a_text_that_just_fits_is_not_cut(caplog):
    with caplog.at_level(logging.WARNING):
        tokenize(Letters(), ["abc"], 5)
    assert not caplog.records


def test_layers_to_leave_out():
    for fine in (None, 0, 3):
        check_clip_skip(fine, 3)
    for wrong in (-1, 4):
        with pytest.raises(ArgumentError, match="0 to 3"):
            check_clip_skip(wrong, 3)
    for wrong in ("1", True, 1.0):
        with pytest.raises(ArgumentTypeError, match="whole number"):
            check_clip_skip(wrong, 3)
