"""Prompts that nobody would write are read, or refused before much is computed."""

from __future__ import annotations

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

LENGTH = 100_000
UNITS = [
    *(
        "(",
        ")",
        "[",
        "]",
        "((a) ",
        "( ",
        "(a ",
        "[a",
        "(:1.3)",
        ":",
        ": ",
        "\\",
        '"',
        '"\\"',
        '"\n',
    ),
    *("+", "a++ ", "a", " ", "\n", ",", "a,", "a.a", '(a" ', '("', '"(a" ', '("a",', "a AND "),
    *("BREAK ", "[a|b]", "[a:b:0.5]", "<lora:", "(a:", ".attend(", "a .attend(1)", "  .attend"),
    *("\x00", "\ud800", "𝕳", "\u202e"),
]


@pytest.mark.parametrize("unit", UNITS)
def test_a_hundred_thousand_characters_are_read_or_refused(unit: str) -> None:
    # Linear parsers take less than a second; a quadratic one would take many minutes.
    text = (unit * LENGTH)[:LENGTH]
    for read in (sections_of, tree_of, parts_of, operators.parts_of):
        try:
            read(text)
        except ArgumentError as error:
            assert len(str(error)) < 1000


@pytest.mark.parametrize("grammar", ["a1111", "compel"])
@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("(" * 1_000_000, "1000000 characters"),
        ("a (b)" + "9" * 400, None),
        ("a star, " * 2000, r"chunks of 30 tokens; at most 64"),
        ("(a:1e400) (a)1e400 (a:nan) (a)nan (a:-1) (a)-1 (a:inf)", None),
        ("\x00 \u202e ((a] 𝕳", None),
    ],
)
def test_calls_with_strange_prompts_draw_or_say_why(
    sd: Any, draw: Callable[..., Tensor], grammar: str, prompt: str, said: str | None
) -> None:
    sd.attach(grammar)
    try:
        found = draw(sd, prompt, num_inference_steps=1)
    except ArgumentError as error:
        assert said is None or said in str(error)
    else:
        assert said is None
        assert torch.isfinite(found).all()
