"""Prompts that nobody would write are read, or refused before much is computed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe_prompts.a1111.emphasis import sections_of
from autopipe_prompts.a1111.parts import parts_of
from autopipe_prompts.a1111.schedule import tree_of
from autopipe_prompts.compel import operators

LENGTH = 30_000
UNITS = [
    *("(", ")", "[", "]", "((a) ", "( ", "(a ", "[a", "(:1.3)", ":", ": ", "\\", '"', '"\\"'),
    *("+", "a++ ", "a", " ", "\n", ",", "a,", "a.a", '(a" ', '("', '"(a" ', '("a",', "a AND "),
    *("BREAK ", "[a|b]", "[a:b:0.5]", "<lora:", "(a:", ".attend(", "a .attend(1)", "  .attend"),
    *('"\n', "\x00", "\ud800", "𝕳", "\u202e"),
]


@pytest.mark.parametrize("unit", UNITS)
def test_many_characters_are_read_or_refused(unit: str) -> None:
    # Linear parsers take a moment; a quadratic one would take minutes, an exponential one years.
    text = (unit * LENGTH)[:LENGTH]
    for read in (sections_of, tree_of, parts_of, operators.parts_of):
        with contextlib.suppress(ArgumentError):
            read(text)


@pytest.mark.parametrize("grammar", ["a1111", "compel"])
@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("(" * 1_000_000, "1000000 characters"),
        ("a star, " * 2000, r"chunks of 30 tokens; at most 64"),
        ("(" * 200 + "a", "more than 100 deep"),
    ],
)
def test_calls_refuse_prompts_that_are_too_much(
    sd: Any, draw: Callable[..., Tensor], grammar: str, prompt: str, said: str
) -> None:
    sd.attach(grammar)
    with pytest.raises(ArgumentError, match=said):
        draw(sd, prompt)


@pytest.mark.parametrize("grammar", ["a1111", "compel"])
@pytest.mark.parametrize(
    "prompt",
    [
        "(a:1e400) (a:nan) (a)nan (a:-1) (a)-1 (a:inf)",
        "\x00 \u202e ((a] 𝕳",
        "()",
        "(:0)",
        "[]",
        '""',
    ],
)
def test_calls_draw_strange_prompts(
    sd: Any, draw: Callable[..., Tensor], grammar: str, prompt: str
) -> None:
    sd.attach(grammar)
    assert torch.isfinite(draw(sd, prompt, num_inference_steps=1)).all()
