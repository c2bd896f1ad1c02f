"""Prompts for two text encoders."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe_components.steps.signed_prompts import SignedPrompts, count_prompts

NAMES = ("prompt", "prompt_2", "prompt_embeds", "pooled_prompt_embeds")


def call(**given: Any) -> dict[str, Any]:
    return {**{f"{sign}{name}": None for sign in ("", "negative_") for name in NAMES}, **given}


def test_the_second_text_is_the_first_and_one_text_is_for_all_prompts():
    given = call(prompt=["a", "b"], negative_prompt="c", negative_prompt_2=["d", "e"])
    assert count_prompts(given) == 2
    assert SignedPrompts.of(given).texts() == (["a", "b"], ["a", "b"])
    negative = SignedPrompts.of(given, "negative_")
    assert negative.texts() == (["c", "c"], ["d", "e"])
    assert negative.is_given
    assert not SignedPrompts.of(call(prompt="a"), "negative_").is_given


@pytest.mark.parametrize(
    ("told", "given"),
    [
        ("prompt_2 has 1 entries for 2 prompts", {"prompt_2": ["a"]}),
        ("got both negative_prompt_2", {
            "negative_prompt_2": "a", "negative_prompt_embeds": torch.zeros(2, 3, 4),
        }),
        ("need negative_pooled", {"negative_prompt_embeds": torch.zeros(2, 3, 4)}),
        ("two axes", {"negative_pooled_prompt_embeds": torch.zeros(2, 3, 4)}),
        ("takes 8", {"pooled_prompt_embeds": torch.zeros(2, 4)}),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)  # fmt: skip
def test_what_does_not_fit_is_refused(told: str, given: dict[str, Any]):
    whole = call(prompt=["a", "b"], **given)
    sign = "negative_" if next(iter(given)).startswith("negative_") else ""
    with pytest.raises(ArgumentError, match=told):
        SignedPrompts.of(whole, sign).check(width=4, pooled_width=8)


def test_what_fits_is_taken():
    embeds = {"prompt_embeds": torch.zeros(2, 3, 4), "pooled_prompt_embeds": torch.zeros(2, 8)}
    given = call(**embeds)
    assert count_prompts(given) == 2
    SignedPrompts.of(given).check(width=4, pooled_width=8)
    assert SignedPrompts.of(given).is_given
