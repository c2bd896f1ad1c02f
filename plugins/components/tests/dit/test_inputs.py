"""What a transformer is given."""

from __future__ import annotations

import pytest
import torch

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.dit import Residuals, check_input, check_tensors


def test_an_input_has_the_shape_that_the_network_takes():
    given = torch.zeros(2, 7, 3)
    assert check_input("tokens", given, (2, None, 3)) is given
    for wrong in (None, "x", torch.zeros(2, 3), torch.zeros(2, 7, 4), torch.zeros(1, 7, 3)):
        with pytest.raises(ArgumentError, match=r"tokens is .*a tensor \(2, N, 3\)"):
            check_input("tokens", wrong, (2, None, 3))


def test_fewer_residuals_than_blocks_are_for_neighbours_or_take_turns():
    tokens = torch.zeros(1, 3, 2)
    residuals = Residuals([torch.full((1, 3, 2), one) for one in (1.0, 2.0)], blocks=4)
    assert [float(residuals.added(tokens, i)[0, 0, 0]) for i in range(4)] == [1, 1, 2, 2]
    turns = [float(residuals.added(tokens, i, in_turn=True)[0, 0, 0]) for i in range(4)]
    assert turns == [1, 2, 1, 2]


@pytest.mark.parametrize("wrong", [5, "x", torch.zeros(2, 3), [1.0]], ids=str)
def test_residuals_are_a_list_of_tensors(wrong):
    with pytest.raises(ArgumentTypeError, match=r"added is .*a list of tensors"):
        Residuals(wrong, blocks=2, name="added")
    with pytest.raises(ArgumentTypeError, match="added is None"):
        check_tensors("added", None)
    check_tensors("added", (torch.zeros(1),))


def test_the_tokens_of_a_text_stay():
    tokens = torch.zeros(1, 5, 2)
    added = Residuals([torch.ones(1, 3, 2)], blocks=1).added(tokens, 0, after=2)
    assert added[0, :, 0].tolist() == [0, 0, 1, 1, 1]
    assert Residuals(None, blocks=1).added(tokens, 0) is tokens
