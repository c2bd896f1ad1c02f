"""Prompts in the grammar of the web UI, as embeddings.

The expected values follow its formula: the states of a chunk are multiplied by the weights of their
tokens, and then by the ratio of the means before and after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_prompts.a1111.addon import A1111
from autopipe_prompts.embeds import weighted_embeds

ROUNDING = 1e-6
"""The mean of float32 values is summed in another order."""


def by_formula(states: Tensor, weights: dict[int, float]) -> Tensor:
    """Multiply the rows at some positions, and restore the mean, number by number."""
    rows = [[value * weights.get(i, 1.0) for value in row] for i, row in enumerate(states.tolist())]
    before = sum(sum(row) for row in states.tolist())
    after = sum(sum(row) for row in rows)
    return torch.tensor([[value * before / after for value in row] for row in rows])


@pytest.fixture
def embeds(sd: Any) -> Callable[..., Tensor]:
    return lambda *texts, **options: weighted_embeds(sd, *texts, **options)[0][0]


def test_weights_multiply_and_the_mean_is_restored(
    sd: Any, embeds: Any, states: Any, ids: Any, padded: Any
) -> None:
    plain = states(sd, padded(sd, ids(sd, "a red circle")))
    expected = by_formula(plain, {2: 1.4, 3: 1 / 1.1})
    assert len(ids(sd, "a red circle")) == 3
    assert torch.allclose(embeds("a (red:1.4) [circle]"), expected, atol=ROUNDING)


def test_long_prompts_are_read_in_chunks(
    sd: Any, embeds: Any, states: Any, ids: Any, padded: Any
) -> None:
    words = ids(sd, "red circle " * 25)
    assert len(words) == 50
    chunks = [states(sd, padded(sd, part)) for part in (words[:30], words[30:])]
    assert torch.equal(embeds("red circle " * 25), torch.cat(chunks))
    weighted = torch.cat(
        [by_formula(one, dict.fromkeys(range(1, n + 1), 1.2)) for one, n in zip(chunks, (30, 20))]
    )
    found = embeds(f"({'red circle ' * 25}:1.2)")
    assert torch.allclose(found, weighted, atol=ROUNDING)


def test_text_after_a_near_comma_moves_to_the_next_chunk(
    sd: Any, states: Any, ids: Any, padded: Any
) -> None:
    before, after = "red " * 20 + ",", "circle " * 12
    chunks = [states(sd, padded(sd, ids(sd, part))) for part in (before, after)]
    moved = weighted_embeds(sd, before + after)[0][0]
    assert torch.equal(moved, torch.cat(chunks))
    divided = weighted_embeds(sd, before + after, comma_backtracking=0)[0][0]
    assert not torch.equal(divided, moved)


def test_break_and_empty_prompts(sd: Any, embeds: Any, states: Any, ids: Any, padded: Any) -> None:
    parts = [states(sd, padded(sd, ids(sd, part))) for part in ("a star", "", "red")]
    assert torch.equal(embeds("a star BREAK BREAK red"), torch.cat(parts))
    assert torch.equal(embeds(""), parts[1])
    assert torch.equal(embeds("()"), parts[1])


def test_skipped_layers_are_those_of_the_pipeline(sd: Any) -> None:
    plain, weighted = (
        weighted_embeds(sd, text, clip_skip=1)[0][0] for text in ("a red star", "a (red:1.5) star")
    )
    assert torch.allclose(weighted, by_formula(plain, {2: 1.5}), atol=ROUNDING)
    assert not torch.allclose(plain, weighted_embeds(sd, "a red star")[0][0], atol=1e-2)


def test_weights_of_zero_are_finite(embeds: Any) -> None:
    found = embeds("(a star:0)")
    assert torch.isfinite(found).all()


def test_the_pooled_embedding_is_that_of_the_first_chunk(xl: Any) -> None:
    prompt, first = "a (cat:1.5) a a a a a a a a a dog", "a cat a a a a a a a a"
    embeds, _, pooled, _ = weighted_embeds(xl, prompt, "")
    plain, _, plain_pooled, _ = xl.encode_prompt(first)
    assert embeds.shape == (1, 24, 32)
    # Encoded in a batch of two chunks.
    assert torch.allclose(pooled, plain_pooled, atol=ROUNDING)
    # Each encoder restores its own mean.
    for part in (slice(0, 16), slice(16, 32)):
        expected = by_formula(plain[0, :, part], {2: 1.5})
        assert torch.allclose(embeds[0, :12, part], expected, atol=1e-5)


def test_prompts_of_several_files_are_refused_before_anything_runs(
    sd: Any, draw: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    sd.attach("a1111")
    monkeypatch.setattr(torch.nn.Module, "__call__", lambda *_, **__: pytest.fail("a network ran"))
    with pytest.raises(ArgumentError, match="asks for a file"):
        draw(sd, "a star", negative_prompt="<lora:ink:1>")


@pytest.mark.parametrize("value", [1.5, "20", True])
def test_a_backtracking_that_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="comma_backtracking"):
        A1111(comma_backtracking=value)
    with pytest.raises(ArgumentError, match="comma_backtracking is -1"):
        A1111(comma_backtracking=-1)
