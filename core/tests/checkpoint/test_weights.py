from __future__ import annotations

import pytest
import torch
from torch import nn

from autopipe.checkpoint.build import WithoutMemory
from autopipe.checkpoint.weights import fill, finish
from autopipe.errors import CheckpointError

from .conftest import TinyNet


def keep(name: str, dtype: torch.dtype) -> torch.dtype:
    return dtype


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(2, 2, bias=False)
        self.other = nn.Linear(2, 2, bias=False)
        self.other.weight = self.one.weight


@pytest.mark.parametrize("name", ["one.weight", "other.weight"])
def test_either_name_of_a_tied_tensor_is_enough(name: str) -> None:
    with WithoutMemory():
        model = Tied()
    info = fill(model, {name: torch.ones(2, 2)}, origin="file")
    assert info.missing == info.unexpected == ()
    assert model.one.weight is model.other.weight
    assert torch.equal(model.one.weight, torch.ones(2, 2))


def test_tensors_are_put_in_place_and_not_copied() -> None:
    state = TinyNet().state_dict()
    with WithoutMemory():
        net = TinyNet()
    fill(net, state, origin="file")
    assert net.seed.data_ptr() == state["seed"].data_ptr()
    assert net.count.data_ptr() == state["count"].data_ptr()


def test_frozen_parameters_stay_frozen() -> None:
    state = TinyNet().state_dict()
    with WithoutMemory():
        net = TinyNet()
    net.seed.requires_grad_(False)
    fill(net, state, origin="file")
    assert not net.seed.requires_grad
    assert net.precise.weight.requires_grad


def test_a_tensor_that_nothing_fills_is_named() -> None:
    with WithoutMemory():
        model = nn.Module()
        model.register_buffer("lost", torch.empty(3), persistent=False)
    fill(model, {}, origin="file")
    with pytest.raises(CheckpointError, match="lost"):
        finish(model, {}, keep, "file")
