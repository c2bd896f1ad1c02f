"""Prompts in the grammar of compel, as embeddings; `parity/` compares them with compel's own."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from autopipe_prompts.embeds import weighted_embeds

ROUNDING = 1e-6
"""Float32 values are summed in another order."""


def embeds(pipe: Any, text: str, **options: Any) -> Any:
    return weighted_embeds(pipe, text, grammar="compel", **options)[0][0]


def test_weights_move_away_from_the_empty_prompt(
    sd: Any, states: Any, ids: Any, padded: Any
) -> None:
    plain, empty = (states(sd, padded(sd, ids(sd, text))) for text in ("a red circle", ""))
    expected = plain.clone()
    expected[2] = empty[2] + 1.1**2 * (plain[2] - empty[2])
    assert torch.allclose(embeds(sd, "a red++ circle"), expected, atol=ROUNDING)


def test_a_weight_below_1_blends_with_the_prompt_that_lacks_the_word(
    sd: Any, states: Any, ids: Any, padded: Any
) -> None:
    row = padded(sd, ids(sd, "a red circle"))
    whole, empty = states(sd, row), states(sd, padded(sd, []))
    without = states(sd, row, [int(place != 2) for place in range(32)])
    for one in (whole, without):
        one[2] = empty[2] + 0.5 * (one[2] - empty[2])
    # The tangent of half of a right angle is 1, so the shares are equal.
    found = embeds(sd, "a (red)0.5 circle")
    assert torch.allclose(found, (whole + without) / 2, atol=ROUNDING)


def test_and_continues_and_blend_adds(sd: Any) -> None:
    one, other = embeds(sd, "a star"), embeds(sd, "a red circle")
    assert torch.equal(embeds(sd, '("a star", "a red circle").and()'), torch.cat([one, other]))
    blended = embeds(sd, '("a star", "a red circle").blend(3, 1)')
    assert torch.allclose(blended, 0.75 * one + 0.25 * other, atol=ROUNDING)


def test_what_is_cut_off_is_told(sd: Any, caplog: pytest.LogCaptureFixture) -> None:
    long = "a star++ " + "red " * 40
    assert len(embeds(sd, long)) == 64
    with caplog.at_level(logging.WARNING):
        assert len(embeds(sd, long, truncate_long_prompts=True)) == 32
    assert "cut off" in caplog.text
    assert "red red" in caplog.text


def test_the_pooled_embedding_is_that_of_the_text_with_its_syntax(xl: Any) -> None:
    _, _, pooled, _ = weighted_embeds(xl, "a cat++", "", "compel")
    assert torch.equal(pooled, xl.encode_prompt("a cat++")[2])
